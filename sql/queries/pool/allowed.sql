-- store::allowance::connections_allowed: the largest number of connections that all clients with this role together may
-- have to this database. For superusers only `max_connections` applies.
select case
    when role.rolsuper then current_setting('max_connections')::integer
    else least(
        current_setting('max_connections')::integer
            - current_setting('superuser_reserved_connections')::integer
            - coalesce(current_setting('reserved_connections', true)::integer, 0),
        nullif(role.rolconnlimit, -1),
        nullif(base.datconnlimit, -1)
    )
end as allowed
from pg_roles as role, pg_database as base
where role.rolname = current_user and base.datname = current_database()
