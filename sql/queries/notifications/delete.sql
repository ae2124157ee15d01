-- store::notifications::delete_notification: removes a notification or an announcement from the list of a player.
-- Returns a row if it was there.
with personal as (
    delete from notifications where player_id = $1 and notification_id = $2 returning notification_id
),
common as (
    insert into announcement_reads as mark (player_id, mailing_id, read_at, removed)
    select $1, announcement.mailing_id, $3, true
    from mailings as announcement
    join players as player on player.player_id = $1
    where announcement.mailing_id = $2
        and announcement.sequence is not null
        and announcement.ended_at is null
        and announcement.sent_at >= player.created_at
    on conflict (player_id, mailing_id) do update set removed = true where not mark.removed
    returning mailing_id
)
select notification_id as id from personal
union all
select mailing_id from common
