-- What tells this database from others, together with what its server says (server_provenance). One row.
create table deployment (
    only_row boolean primary key default true check (only_row),
    -- Copied with the database by a dump or a template; the server's part of the identity then differs.
    deployment_id uuid not null default gen_random_uuid(),
    -- Replaced when a server finds that rows went back to an earlier state.
    epoch uuid not null default gen_random_uuid()
);
insert into deployment default values;

-- What the server says about itself. An ordinary role may read all of it; where a hosted Postgres withholds a part, that
-- part is null. `timeline` changes with the promotion of a standby, a restore to a point in time, and with a branch of Neon.
create function server_provenance(
    out system_identifier text, out timeline text, out wal_position bigint, out started_at timestamptz
)
language plpgsql
as $$
begin
    started_at := pg_postmaster_start_time();
    begin
        select control.system_identifier::text into system_identifier from pg_control_system() as control;
    exception when others then
        system_identifier := null;
    end;
    begin
        if pg_is_in_recovery() then
            select lpad(upper(to_hex(control.timeline_id)), 8, '0') into timeline from pg_control_checkpoint() as control;
        else
            timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
            wal_position := pg_current_wal_flush_lsn() - '0/0'::pg_lsn;
        end if;
    exception when others then
        timeline := null;
        wal_position := null;
    end;
    timeline := concat_ws('/', timeline, current_setting('neon.tenant_id', true), current_setting('neon.timeline_id', true));
end
$$;
