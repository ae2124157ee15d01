-- store::notifications::unread: how many notifications and announcements each of some players has not read, by priority.
-- They are counted, so they cannot differ from a recount; a player has at most 1,000 notifications. Muted announcements
-- do not count, and neither do those from before the player.
select player.player_id,
    personal.high + common.high as high,
    personal.medium + common.medium as medium,
    personal.low + common.low as low
from players as player
left join notification_settings as settings using (player_id)
cross join lateral (
    select count(*) filter (where priority = 0) as high,
        count(*) filter (where priority = 1) as medium,
        count(*) filter (where priority = 2) as low
    from notifications as notification
    where notification.player_id = player.player_id and notification.read_at is null
) as personal
cross join lateral (
    select count(*) filter (where priority = 0) as high,
        count(*) filter (where priority = 1) as medium,
        count(*) filter (where priority = 2) as low
    from mailings as announcement
    where announcement.sequence is not null
        and announcement.ended_at is null
        and announcement.sent_at >= player.created_at
        and (announcement.priority = 0 or (announcement.type = any(settings.muted_types)) is not true)
        and not exists (
            select from announcement_reads as mark
            where mark.player_id = player.player_id and mark.mailing_id = announcement.mailing_id
        )
) as common
where player.player_id = any($1)
