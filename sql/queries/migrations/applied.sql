-- store::migrations: what has been applied.
select number, checksum from schema_migrations order by number
