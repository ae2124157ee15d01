-- store::ring::empty_idle_slots: empties the slot of each ring that is used next, and marks the job that does it as
-- done. This is one statement, so that a worker that stops responding does not keep a partition locked. Empties nothing
-- if the job's lease was lost or has expired. The time is the database's, because the worker may have been paused after
-- it read its own clock; in tests $3 replaces it. The clocks of instances differ slightly, so no slot is emptied within
-- $8 microseconds of a change of slots.
with clock as materialized (
    select coalesce($3::timestamptz, clock_timestamp()) as now
),
finished as (
    update jobs
    set status = 'done', finished_at = clock.now, progress = null, error = null,
        lease_token = null, lease_expires_at = null
    from clock
    where job_id = $1 and lease_token = $2 and lease_expires_at > clock_timestamp()
    returning (extract(epoch from clock.now) * 1000000)::bigint as now
),
idle as (
    select ring.name,
        (ring.first_slot + ((finished.now + $8::bigint) / ring.period + 1) % ring.slots)::smallint as slot
    from finished
    cross join unnest($4::text[], $5::smallint[], $6::bigint[], $7::bigint[])
        as ring (name, first_slot, slots, period)
    where (finished.now - $8::bigint) / ring.period = (finished.now + $8::bigint) / ring.period
)
-- Returns at least one row if the job was marked as done, and none otherwise.
select coalesce(empty_ring_slot(idle.name, idle.slot), false) as emptied
from finished
left join idle on true
