-- store::writes::check_writes: fills a temporary file of some megabytes, which is deleted when the statement ends. A
-- full disk refuses it, although it may still accept a row that fits into an existing page.
select count(*) as rows from generate_series(1, 100000)
