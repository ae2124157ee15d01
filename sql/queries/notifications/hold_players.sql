-- store::notifications::hold_recipients: those of the players that exist, with the types that they have muted. A
-- deletion of a player waits for the end of the transaction, so that it deletes what this transaction adds.
select player.player_id, settings.muted_types
from players as player
left join notification_settings as settings on settings.player_id = player.player_id
where player.player_id = any($1)
order by player.player_id
for key share of player
