-- store::idempotency::empty_idle_slots: empties slots and finishes the job that does it, in one statement: nothing that
-- happens to the worker lets it hold a partition's lock. Nothing is emptied where the job's lease has been lost.
with finished as (
    update jobs
    set status = 'done', finished_at = $3, progress = null, error = null,
        lease_token = null, lease_expires_at = null
    where job_id = $1 and lease_token = $2
    returning job_id
)
select empty_idempotency_slot(slot) as emptied from finished, unnest($4::smallint[]) as slot
