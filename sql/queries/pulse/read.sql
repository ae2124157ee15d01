-- store::pulse::read: what each instance asks twice a second: the database's time, the newest catalogue, and what it
-- must stop trusting since $1. One row for each revocation, or a single one without.
select clock_timestamp() as now,
    (select max(version) from catalogues) as catalogue_version,
    revocation.subject, revocation.reason
from (values (1)) as one (row)
left join revocations as revocation on revocation.revoked_at >= $1
-- Their numbers are drawn while the player's row is held; their times are of clocks that differ a little.
order by revocation.revocation_id
