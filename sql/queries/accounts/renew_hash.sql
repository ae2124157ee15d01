-- store::accounts::renew_hash: replaces the hash by another one of the same password, unless it has changed since it was read.
update accounts
set password_hash = $3
where player_id = $1 and password_hash = $2
