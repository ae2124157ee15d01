-- store::notifications::mark_read: marks notifications of a player as read: those with the ids $2, or those up to the
-- sequence $3. Returns those that were unread.
update notifications
set read_at = $4
where player_id = $1 and read_at is null and (notification_id = any($2) or sequence <= $3)
returning notification_id
