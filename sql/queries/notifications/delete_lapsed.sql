-- store::notifications::delete_lapsed: deletes the notifications of some players that have expired at $2 or are older
-- than $3.
delete from notifications
where player_id = any($1) and (expires_at <= $2 or at < $3)
returning player_id, notification_id
