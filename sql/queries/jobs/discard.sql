-- store::jobs::discard_job: deletes a job and inserts an audit entry. A running job loses its lease with its row, so
-- its worker cannot commit a result.
with discarded as (
    delete from jobs where job_id = $1 returning job_id, kind, unique_key, status
)
insert into audit_log (at, action, detail)
select $2, 'discard_job', jsonb_build_object(
    'job_id', job_id, 'kind', kind, 'key', unique_key, 'status', status
)
from discarded
