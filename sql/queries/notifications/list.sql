-- store::notifications::list: a page of the notifications and announcements of a player, newest first, with the counts
-- of notifications/unread.sql and the heads of both streams, all of one snapshot. Returns one row without an entry if
-- there are no entries. $2: only this priority. $3: only unread ones. $4 and $5: only those before this one.
with account as (
    select player.player_id, player.created_at, settings.muted_types
    from players as player
    left join notification_settings as settings using (player_id)
    where player.player_id = $1
),
personal as (
    select count(*) filter (where priority = 0) as high,
        count(*) filter (where priority = 1) as medium,
        count(*) filter (where priority = 2) as low
    from notifications
    where player_id = $1 and read_at is null
),
announced as materialized (
    select announcement.*, mark.read_at,
        (announcement.priority > 0 and announcement.type = any(account.muted_types)) is true as muted
    from account
    join mailings as announcement on announcement.sequence is not null
        and announcement.ended_at is null
        and announcement.sent_at >= account.created_at
    left join announcement_reads as mark
        on mark.player_id = $1 and mark.mailing_id = announcement.mailing_id
    where mark.removed is not true
),
common as (
    select count(*) filter (where priority = 0) as high,
        count(*) filter (where priority = 1) as medium,
        count(*) filter (where priority = 2) as low
    from announced
    where read_at is null and not muted
),
entry as (
    (
        select notification_id, sequence, type, priority, mailing_id, data, at, read_at, expires_at,
            false as announcement
        from notifications
        where player_id = $1
            and ($2::smallint is null or priority = $2)
            and (not $3::boolean or read_at is null)
            and ($4::timestamptz is null or (at, notification_id) < ($4, $5::uuid))
    )
    union all
    (
        select mailing_id, sequence, type, priority, mailing_id, data, sent_at, read_at, expires_at, true
        from announced
        where ($2::smallint is null or priority = $2)
            and (not $3::boolean or read_at is null)
            and ($4::timestamptz is null or (sent_at, mailing_id) < ($4, $5::uuid))
    )
    order by at desc, notification_id desc
    limit $6
)
select personal.high + common.high as high,
    personal.medium + common.medium as medium,
    personal.low + common.low as low,
    coalesce((select head from streams where stream = 'player:' || $1::uuid), 0) as head,
    coalesce((select head from streams where stream = 'announcements'), 0) as announcements_head,
    entry.*, mailing.title, mailing.body
from personal
cross join common
left join entry on true
left join mailings as mailing on mailing.mailing_id = entry.mailing_id
order by entry.at desc, entry.notification_id desc
