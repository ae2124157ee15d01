-- store::migrations: whether the database has ever been migrated.
select to_regclass('schema_migrations') is not null as exists
