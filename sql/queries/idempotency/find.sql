-- store::idempotency::find: the records of some keys of some players that have not lapsed: $3 is the oldest that still
-- counts in the slots of clicks, $4 in the others. The index begins with the slot, so each of them is asked for by name:
-- a look-up then is a step down the index of one partition.
select record.player_id, record.key_hash, record.request_hash, record.outcome
from unnest($1::uuid[], $2::bytea[]) as asked (player_id, key_hash)
cross join unnest('{0,1,2,3,4,10,11,12}'::smallint[]) as ring (slot)
join idempotency_records as record using (slot, player_id, key_hash)
where record.created_at > case when record.slot >= 10 then $3::timestamptz else $4::timestamptz end
