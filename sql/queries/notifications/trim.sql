-- store::notifications::trim_notifications: deletes the oldest notifications of some players beyond the newest 1,000.
delete from notifications as notification
using (
    select player_id, notification_id,
        row_number() over (partition by player_id order by at desc, notification_id desc) as position
    from notifications
    where player_id in (
        select player_id from notifications where player_id = any($1) group by player_id having count(*) > 1000
    )
) as numbered
where numbered.position > 1000
    and notification.player_id = numbered.player_id
    and notification.notification_id = numbered.notification_id
returning notification.player_id, notification.notification_id
