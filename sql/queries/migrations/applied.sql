-- store::migrations: the migrations that have been applied.
select number, checksum from schema_migrations order by number
