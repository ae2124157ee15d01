-- store::mailings::list_mailings: mailings with ids below $1, newest first.
select mailing_id, players, type, priority, title, body, data, dedupe_key, created_at, send_at, sent_at, expires_at,
    ended_at, sequence
from mailings
where $1::uuid is null or mailing_id < $1
order by mailing_id desc
limit $2
