-- store::migrations: stores that a migration has been applied.
insert into schema_migrations (number, name, checksum) values ($1, $2, $3)
