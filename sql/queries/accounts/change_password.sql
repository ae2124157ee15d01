-- store::accounts::change_password: replaces the hash ($2) by that of a new password ($3), unless it has changed since
-- it was read.
update accounts
set password_hash = $3, password_changed_at = $4
where player_id = $1 and password_hash = $2
returning player_id
