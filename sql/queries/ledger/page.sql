-- store::ledger::page: a player's entries before version $2, newest first.
select version, at, kind, reference, earned, delta, balance_after
from ledger
where player_id = $1 and version < $2
order by version desc
limit $3
