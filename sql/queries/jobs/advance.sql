-- store::jobs::advance_job: notes how far a job has come, if its lease still holds.
update jobs set progress = $3 where job_id = $1 and lease_token = $2
