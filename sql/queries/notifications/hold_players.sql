-- store::notifications::hold_recipients: those of the players that exist. A deletion of one of them waits for the end of
-- the transaction, so that it deletes what this transaction adds.
select player_id
from players
where player_id = any($1)
order by player_id
for key share
