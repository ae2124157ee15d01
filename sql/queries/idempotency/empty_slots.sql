-- store::idempotency::empty_idle_slots: empties the slot of each ring whose turn comes next, and finishes the job that
-- does it, in one statement, so that a worker never keeps a partition locked. Empties nothing if the job's lease was
-- lost or has expired. The time is the database's, because the worker may have been paused since it read its own; in
-- tests $3 replaces it. Clocks of instances differ a little, so no slot is emptied within $7 of the end of a turn.
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
    select (ring.first_slot + ((finished.now + $7::bigint) / ring.period + 1) % ring.slots)::smallint as slot
    from finished
    cross join unnest($4::smallint[], $5::bigint[], $6::bigint[]) as ring (first_slot, slots, period)
    where (finished.now - $7::bigint) / ring.period = (finished.now + $7::bigint) / ring.period
)
-- At least one row if the job was finished.
select coalesce(empty_idempotency_slot(idle.slot), false) as emptied
from finished
left join idle on true
