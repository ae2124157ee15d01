-- store::commit: writes the changed players of a batch, each only if its row still has the revision that was read, and
-- with each its ledger entries, its idempotency records and the final scores of seasons that it has left. A player who
-- was granted energy is notified of it. Returns the
-- players that were written; nothing is written for the others. `is true` prevents Postgres from converting `in` into a
-- join, which under the settings of lanes/session.sql would compare each entry with each player. With `is true` it uses
-- a hash lookup. The arrays are in player_id order, and with those settings rows are locked in that order.
with change as (
    select *
    from unnest($1::uuid[], $2::bigint[], {{written_arrays:25}})
        as change (player_id, expected_revision, {{written_columns}})
),
-- Players with a request that was answered before, who must not be written. Most keys are new, so this look-up is part
-- of the commit, which saves a query. It cannot miss a record that is committed after this statement's snapshot: that
-- commit also increases the player's revision, so the condition on the revision below fails. As in
-- idempotency/find.sql, records must be newer than $22 in the slots of clicks, and newer than $23 in the others.
repeated as materialized (
    select asked.player_id
    from unnest($20::uuid[], $21::bytea[]) as asked (player_id, key_hash)
    cross join unnest('{0,1,2,3,4,10,11,12}'::smallint[]) as ring (slot)
    cross join lateral (
        select
        from idempotency_records as record
        where record.slot = ring.slot
            and record.player_id = asked.player_id
            and record.key_hash = asked.key_hash
            and record.created_at > case when record.slot >= 10 then $22::timestamptz else $23::timestamptz end
        limit 1
    ) as found
),
written as (
    update players as player
    set revision = player.revision + 1,
        {{written_values}}
    from change
    where player.player_id = change.player_id
        and player.revision = change.expected_revision
        and (player.player_id in (select player_id from repeated)) is not true
    returning player.player_id
),
booked as (
    insert into ledger (player_id, version, at, kind, reference, earned, delta, balance_after)
    select player_id, entry.version, entry.at, kind, reference, earned, delta, balance_after
    from unnest(
        $3::uuid[], $4::bigint[], $5::timestamptz[], $6::text[], $7::text[], $8::float8[],
        $9::float8[], $10::float8[]
    ) as entry (player_id, version, at, kind, reference, earned, delta, balance_after)
    where (player_id in (select player_id from written)) is true
    returning player_id, at, kind, reference, delta
),
audited as (
    insert into audit_log (at, action, player_id, detail)
    select at, 'grant', player_id, jsonb_build_object('energy', delta, 'reason', reference)
    from booked
    where kind = 'grant'
),
told as (
    insert into outbox (player_id, type, at, data)
    select player_id, 'grant', at, jsonb_build_object('energy', delta, 'reason', reference)
    from booked
    where kind = 'grant'
    returning outbox_id
),
signalled as (
    insert into signals (outbox) select true from told limit 1
),
remembered as (
    insert into idempotency_records (slot, player_id, key_hash, request_hash, created_at, outcome, command_hash)
    select slot, player_id, key_hash, request_hash, created_at, outcome, command_hash
    from unnest(
        $11::smallint[], $12::uuid[], $13::bytea[], $14::bytea[], $15::timestamptz[], $16::text[], $24::bytea[]
    ) as record (slot, player_id, key_hash, request_hash, created_at, outcome, command_hash)
    where (player_id in (select player_id from written)) is true
    -- An expired record of the same key may still be in a slot that was not emptied yet.
    on conflict (slot, player_id, key_hash) do update
    set request_hash = excluded.request_hash,
        created_at = excluded.created_at,
        outcome = excluded.outcome,
        command_hash = excluded.command_hash
),
finished as (
    insert into season_scores (player_id, season, score)
    select player_id, final.season, score
    from unnest($17::uuid[], $18::bigint[], $19::float8[]) as final (player_id, season, score)
    where (player_id in (select player_id from written)) is true
    -- The final standings of such a season are stored and do not change.
    and not exists (
        select from seasons where seasons.season = final.season and seasons.frozen_at is not null
    )
    on conflict (player_id, season) do nothing
)
select player_id from written
