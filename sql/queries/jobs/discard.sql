-- store::jobs::discard_job: removes a job, and notes that an operator did. One that runs loses its lease with its row, so
-- nothing comes of it.
with discarded as (
    delete from jobs where job_id = $1 returning job_id, kind, unique_key, status
)
insert into audit_log (at, action, detail)
select $2, 'discard_job', jsonb_build_object(
    'job_id', job_id, 'kind', kind, 'key', unique_key, 'status', status
)
from discarded
