-- store::catalogues::insert_catalogue: inserts a version and an audit entry. If a concurrent change has inserted the
-- same version, this violates catalogues_pkey. After the time $6 nothing is inserted, because the version would come
-- into force before all instances have read it.
with version as (
    insert into catalogues (version, effective_at, items, removed, created_at, texts)
    select $1, $2, $3, $4, $5, $7
    where $6::timestamptz is null or clock_timestamp() < $6::timestamptz
    returning version
),
audited as (
    insert into audit_log (at, action, detail)
    select $5, 'replace_catalogue', jsonb_build_object('version', version) from version
)
select version from version
