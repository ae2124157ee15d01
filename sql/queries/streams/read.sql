-- store::streams::read_events: the events of each stream above a first sequence, up to a last one. The index begins with
-- the slot, so every slot is listed. The limit makes each look-up use the index of one partition, as in
-- idempotency/find.sql.
select found.stream, found.sequence, found.at, found.type, found.request_id, found.data
from unnest($1::text[], $2::bigint[], $3::bigint[]) as asked (stream, above, through)
cross join unnest('{0,1,2,3,4}'::smallint[]) as ring (slot)
cross join lateral (
    select event.stream, event.sequence, event.at, event.type, event.request_id, event.data
    from stream_events as event
    where event.slot = ring.slot
        and event.stream = asked.stream
        and event.sequence > asked.above
        and event.sequence <= asked.through
    order by event.sequence
    limit 1000
) as found
order by found.stream, found.sequence
