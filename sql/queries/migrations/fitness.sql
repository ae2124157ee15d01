-- store::fitness: whether the database meets the requirements of the server, as this session sees it. `barred` lists
-- the server's tables on which the role does not have all required privileges.
select
    current_setting('server_encoding') as encoding,
    current_schema()::text as schema,
    current_setting('search_path') as search_path,
    coalesce(has_schema_privilege(current_schema(), 'create'), false) as may_create,
    current_user::text as role,
    current_database()::text as database,
    array(
        select relname::text from pg_class
        where relnamespace = to_regnamespace(quote_ident(current_schema()))
            and relkind in ('r', 'p')
            and (
                relname like 'idempotency\_records%' or relname like 'stream\_events%' or relname in (
                    'accounts', 'announcement_reads', 'audit_log', 'catalogues', 'deleted_players', 'deployment',
                    'folded_names', 'job_schedules', 'jobs', 'ledger', 'mailings', 'notification_settings',
                    'notifications', 'outbox', 'players', 'ranking_news', 'revocations', 'schema_migrations',
                    'season_scores', 'season_standings', 'seasons', 'sessions', 'signals', 'silences', 'streams',
                    'usernames'
                )
            )
            and not (
                has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert')
                and has_table_privilege(oid, 'update') and has_table_privilege(oid, 'delete')
                -- Partitions are emptied by truncate.
                and (
                    (relname not like 'idempotency\_records\_%' and relname not like 'stream\_events\_%')
                    or has_table_privilege(oid, 'truncate')
                )
            )
        order by relname
    ) as barred
