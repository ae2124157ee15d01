-- store::players::share_player: prevents other transactions from locking a player as hold.sql does until this
-- transaction ends, and waits for one that has locked the player already.
select from players where player_id = $1 for key share
