-- store::pulse::read: what each instance ($2) asks twice a second: the database's time, the newest catalogue, whether
-- another instance cannot announce what it changes, and what must not be trusted any more since $1. One row for each
-- revocation, or a single one without.
select clock_timestamp() as now,
    (select max(version) from catalogues) as catalogue_version,
    exists (
        select from silences
        where noted_at > clock_timestamp() - interval '3 seconds' and instance <> $2
    ) as silenced,
    revocation.subject, revocation.reason
from (values (1)) as one (row)
left join revocations as revocation on revocation.revoked_at >= $1
-- Their numbers are drawn while the player's row is held; their times are of clocks that differ a little.
order by revocation.revocation_id
