-- store::accounts::renew_hash: replaces the hash ($2) by another hash of the same password ($3), unless it has changed
-- since it was read.
update accounts
set password_hash = $3
where player_id = $1 and password_hash = $2
