-- store::idempotency::find: the records of some keys of some players that have not expired. Records must be newer than
-- $3 in the slots of clicks, and newer than $4 in the others. The index begins with the slot, so every slot is listed.
-- The limit makes each look-up use the index of one partition: the plan is made once, possibly while the partitions are
-- empty, and without the limit it would scan all rows that are inserted later. Each record is
-- returned with the revision of the player's row: rows with this revision or a later one contain the effect of the
-- request.
select found.player_id, found.key_hash, found.request_hash, found.command_hash, found.outcome,
    (select player.revision from players as player where player.player_id = found.player_id) as revision
from unnest($1::uuid[], $2::bytea[]) as asked (player_id, key_hash)
cross join unnest('{0,1,2,3,4,10,11,12}'::smallint[]) as ring (slot)
cross join lateral (
    select record.player_id, record.key_hash, record.request_hash, record.command_hash, record.outcome
    from idempotency_records as record
    where record.slot = ring.slot
        and record.player_id = asked.player_id
        and record.key_hash = asked.key_hash
        and record.created_at > case when record.slot >= 10 then $3::timestamptz else $4::timestamptz end
    limit 1
) as found
