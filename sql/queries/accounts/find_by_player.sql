-- store::accounts::find_by_player: the account of a player who is not a guest.
select account.player_id, account.username, account.password_hash, player.display_name,
    player.banned_at is not null as banned
from accounts as account
join players as player on player.player_id = account.player_id
where account.player_id = $1
