-- One row a player, rewritten by every mutation and settle. The columns that change come first and next to each other,
-- and none of them is indexed: an update then stays on its page (HOT) and its WAL record holds little else.
create table players (
    player_id uuid primary key,
    -- Rises with every write of the row; guards every update.
    revision bigint not null default 1,
    -- Counts the applied mutations; the one that clients see.
    version bigint not null default 0,
    energy double precision not null,
    lifetime_energy double precision not null,
    settled_at timestamptz not null,
    last_seen_at timestamptz not null,
    accrues_until timestamptz not null,
    click_tokens double precision not null,
    clicks_filled_at timestamptz not null,
    -- Energy credited since last_seen_at by settles that the player was not there for.
    unseen_energy double precision not null default 0,
    -- The balance after the last ledger entry.
    ledger_balance double precision not null default 0,
    away_seconds double precision,
    away_credited_seconds double precision,
    away_energy double precision,
    away_ended_at timestamptz,
    -- The rate at settled_at, under catalogue_version.
    energy_per_second double precision not null default 0,
    catalogue_version bigint not null,
    cores double precision not null default 0,
    -- {"generators": {"hand_crank": 3}, "upgrades": ["..."]}
    inventory jsonb not null default '{"generators": {}, "upgrades": []}',
    display_name text not null,
    username text,
    created_at timestamptz not null,
    banned_at timestamptz,
    -- NaN sorts above infinity, so `< 'infinity'` refuses both. One check, as each is made ready anew for every
    -- statement.
    constraint players_amounts_in_range check (
        least(energy, lifetime_energy, energy_per_second, cores) >= 0
        and greatest(energy, lifetime_energy, energy_per_second, cores) < 'infinity'
    )
) with (fillfactor = 70);

-- Who may sign in by name. A username is looked up here alone, so that `players` can be spread by player_id.
create table usernames (
    username text primary key,
    player_id uuid not null
);

create table accounts (
    player_id uuid primary key,
    username text not null,
    -- argon2id in PHC form.
    password_hash text not null,
    created_at timestamptz not null,
    password_changed_at timestamptz not null
);

-- Signed-in devices. The refresh token's successor is derived from it and chain_key, so that a lost answer can be
-- given again while only a hash is kept.
create table sessions (
    player_id uuid not null,
    session_id uuid not null,
    chain_key bytea not null,
    refresh_hash bytea not null,
    generation integer not null default 0,
    created_at timestamptz not null,
    rotated_at timestamptz not null,
    expires_at timestamptz not null,
    user_agent text,
    primary key (player_id, session_id)
);
create index sessions_expires_at on sessions (expires_at);

-- What instances must stop trusting, read by each of them once a second. `subject` is a session or a player.
create table revocations (
    revocation_id bigint generated always as identity primary key,
    subject uuid not null,
    -- session_ended | player_banned | player_unbanned | player_deleted
    reason text not null,
    revoked_at timestamptz not null
);
create index revocations_revoked_at on revocations (revoked_at);

-- What remains of a deleted player: that there was one, and the key of the request that deleted it.
create table deleted_players (
    player_id uuid primary key,
    deleted_at timestamptz not null,
    idempotency_key_hash bytea
);

-- balance_after = balance_after of the line before + earned + delta. Numbered by the player's version.
create table ledger (
    player_id uuid not null,
    version bigint not null,
    at timestamptz not null,
    kind text not null,
    reference text not null,
    earned double precision not null,
    delta double precision not null,
    balance_after double precision not null,
    primary key (player_id, version)
);

-- Outcomes of applied mutations that carried a key. A record's slot is its time's place in a ring of partitions: by
-- the time a slot comes round again all in it has lapsed, and it is truncated. Slots 0 to 4 turn every 8 hours, slots
-- 10 to 12 (clicks) every 10 minutes. The row's revision guard, not an index, makes a key unique: a record is only
-- written with the update that a lookup at the same revision found no record for.
create table idempotency_records (
    slot smallint not null,
    player_id uuid not null,
    key_hash bytea not null,
    request_hash bytea not null,
    created_at timestamptz not null,
    outcome text not null,
    primary key (slot, player_id, key_hash)
) partition by list (slot);
create table idempotency_records_0 partition of idempotency_records for values in (0);
create table idempotency_records_1 partition of idempotency_records for values in (1);
create table idempotency_records_2 partition of idempotency_records for values in (2);
create table idempotency_records_3 partition of idempotency_records for values in (3);
create table idempotency_records_4 partition of idempotency_records for values in (4);
create table idempotency_records_10 partition of idempotency_records for values in (10);
create table idempotency_records_11 partition of idempotency_records for values in (11);
create table idempotency_records_12 partition of idempotency_records for values in (12);

-- Empties a slot by dropping its pages. It gives up rather than hold up those who read behind a long transaction.
create function empty_idempotency_slot(slot_to_empty smallint) returns boolean
language plpgsql
set lock_timeout = '200ms'
as $$
begin
    if not exists (select from idempotency_records where slot = slot_to_empty) then
        return false;
    end if;
    execute format('truncate idempotency_records_%s', slot_to_empty);
    return true;
end
$$;

-- Every version there ever was: a row settled under an old one still needs it.
create table catalogues (
    version bigint primary key,
    effective_at timestamptz not null,
    items jsonb not null,
    -- Last definitions of what earlier versions had and this one has not.
    removed jsonb not null default '{"generators": [], "upgrades": []}',
    created_at timestamptz not null
);

-- What operators changed.
create table audit_log (
    audit_id bigint generated always as identity primary key,
    at timestamptz not null,
    action text not null,
    player_id uuid,
    detail jsonb not null
);
create index audit_log_player_id on audit_log (player_id);
