-- store::accounts::find_by_username: the account with a username.
select account.player_id, account.username, account.password_hash, player.display_name,
    player.banned_at is not null as banned
from usernames as name
join accounts as account on account.player_id = name.player_id
join players as player on player.player_id = name.player_id
where name.username = $1
