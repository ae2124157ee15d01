-- store::pulse::read: what each instance ($2) reads twice a second: the database's time, its identity, the latest
-- catalogue, whether this session is read-only, whether another instance cannot announce its changes, and revocations:
-- those since $1, those with numbers above $3, and those with the numbers $4. Returns one row for each revocation, or a
-- single row if there is none.
select clock_timestamp() as now,
    pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only,
    (select oid::bigint from pg_database where datname = current_database()) as database_oid,
    deployment.deployment_id, deployment.epoch,
    server.system_identifier, server.timeline, server.wal_position, server.started_at,
    (select max(version) from catalogues) as catalogue_version,
    exists (
        select from silences
        where noted_at > clock_timestamp() - interval '3 seconds' and instance <> $2
    ) as silenced,
    coalesce((select max(revocation_id) from revocations), 0) as last_revocation,
    revocation.revocation_id, revocation.subject, revocation.reason
from server_provenance() as server
left join deployment on true
left join revocations as revocation
    on revocation.revoked_at >= $1 or revocation.revocation_id > $3 or revocation.revocation_id = any($4::bigint[])
-- Not by time: the numbers of a player's revocations are assigned while the player's row is locked, so they are in the
-- order of the changes. The times are from clocks that differ slightly.
order by revocation.revocation_id
