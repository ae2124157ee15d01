-- store::accounts::upgrade_guest: gives a guest a username and a password. Writes nothing if the player is no longer a
-- guest. If the username is taken, this violates usernames_pkey.
with player as (
    update players
    set username = $2,
        display_name = coalesce($5, display_name),
        version = version + 1,
        revision = revision + 1
    where player_id = $1 and username is null
    returning player_id, display_name
),
name as (
    insert into usernames (username, player_id) select $2, player_id from player
),
account as (
    insert into accounts (player_id, username, password_hash, created_at, password_changed_at)
    select player_id, $2, $3, $4, $4 from player
)
select display_name from player
