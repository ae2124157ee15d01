-- store::idempotency::list: a player's records, oldest first, for the export.
select encode(key_hash, 'hex') as key_hash, created_at, outcome
from idempotency_records
where slot in (0, 1, 2, 3, 4, 10, 11, 12) and player_id = $1
order by created_at
