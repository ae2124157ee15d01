-- store::mailings::purge_mailings: deletes mailings that were made before $1 and of which no notification is left.
with gone as (
    delete from mailings
    where mailing_id in (
        select mailing_id
        from mailings as mailing
        where created_at < $1
            and send_at < $1
            and not exists (select from notifications where notifications.mailing_id = mailing.mailing_id)
        limit 1000
    )
    returning mailing_id
)
delete from announcement_reads using gone where announcement_reads.mailing_id = gone.mailing_id
