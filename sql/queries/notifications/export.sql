-- store::notifications::all_notifications: all notifications of a player, newest first, for the export.
select notification.notification_id, notification.sequence, notification.type, notification.priority,
    notification.mailing_id, notification.data, notification.at, notification.read_at, notification.expires_at,
    false as announcement, mailing.title, mailing.body
from notifications as notification
left join mailings as mailing using (mailing_id)
where notification.player_id = $1
order by notification.at desc, notification.notification_id desc
