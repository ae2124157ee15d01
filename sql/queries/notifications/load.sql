-- store::notifications::load: those of some notifications of a player that it still has.
select notification.notification_id, notification.sequence, notification.type, notification.priority,
    notification.mailing_id, notification.data, notification.at, notification.read_at, notification.expires_at,
    false as announcement, mailing.title, mailing.body
from notifications as notification
left join mailings as mailing using (mailing_id)
where notification.player_id = $1 and notification.notification_id = any($2)
