-- store::jobs::advance_job: stores the progress of a job. Does nothing if the lease was lost.
update jobs set progress = $3 where job_id = $1 and lease_token = $2
