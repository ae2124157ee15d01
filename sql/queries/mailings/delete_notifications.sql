-- store::mailings::delete_notifications_of: deletes the notifications of a mailing.
delete from notifications where mailing_id = $1 returning player_id, notification_id
