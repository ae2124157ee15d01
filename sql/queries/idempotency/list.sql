-- store::idempotency::list: a player's records, for the export.
select encode(key_hash, 'hex') as key_hash, created_at, outcome
from idempotency_records
where player_id = $1
order by created_at
