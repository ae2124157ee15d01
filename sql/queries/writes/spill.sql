-- store::writes::check_writes: fills a temporary file of some megabytes, which is gone at the statement's end. A full disk
-- refuses it, whereas it may still take a row that fits into a page with room.
select count(*) as rows from generate_series(1, 100000)
