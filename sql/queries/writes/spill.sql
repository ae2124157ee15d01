-- store::writes::check_writes: writes a temporary file of some megabytes, which Postgres deletes when the statement
-- ends. This fails if the disk is full, while a row that fits into an existing page could still be written.
select count(*) as rows from generate_series(1, 100000)
