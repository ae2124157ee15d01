-- store::embedded: whether the server's database is there.
select 1 from pg_database where datname = $1
