-- The language of texts for the player: en | ko. Null until the player chooses one.
alter table players add column language text;

-- What operators, or the game itself, send to some players or to everybody. One that was sent to everybody is an
-- announcement: it has a sequence in the stream `announcements`, and no row for each player.
create table mailings (
    mailing_id uuid primary key,
    -- Null if it is for everybody.
    players uuid[],
    type text not null,
    -- 0 high | 1 medium | 2 low
    priority smallint not null,
    -- Texts by language: {"en": "...", "ko": "..."}
    title jsonb not null,
    body jsonb not null,
    data jsonb not null,
    -- A second mailing with the same key is not made for 30 days. The hash tells repeats from other requests.
    dedupe_key text,
    request_hash bytea,
    created_at timestamptz not null,
    -- When it is to be sent.
    send_at timestamptz not null,
    sent_at timestamptz,
    expires_at timestamptz,
    -- When it was withdrawn, or found to have expired. It is shown to nobody from then on.
    ended_at timestamptz,
    -- Of an announcement that was sent.
    sequence bigint
);
create unique index mailings_dedupe_key on mailings (dedupe_key) where dedupe_key is not null;
create index mailings_announced on mailings (sequence) where sequence is not null and ended_at is null;
create index mailings_expiring on mailings (expires_at) where ended_at is null and expires_at is not null;
create index mailings_created_at on mailings (created_at);

-- Notifications of single players.
create table notifications (
    player_id uuid not null,
    notification_id uuid not null,
    -- The sequence of its event notification.created in the stream of the player.
    sequence bigint not null,
    type text not null,
    priority smallint not null,
    -- Where the texts are; null if they follow from the type.
    mailing_id uuid,
    data jsonb not null,
    at timestamptz not null,
    read_at timestamptz,
    expires_at timestamptz,
    primary key (player_id, notification_id)
) with (fillfactor = 80);
create index notifications_unread on notifications (player_id) where read_at is null;
create index notifications_mailing on notifications (mailing_id) where mailing_id is not null;
create index notifications_expiring on notifications (expires_at) where expires_at is not null;
create index notifications_at on notifications (at);

-- Single announcements that a player has read, or removed from its list.
create table announcement_reads (
    player_id uuid not null,
    mailing_id uuid not null,
    read_at timestamptz not null,
    removed boolean not null default false,
    primary key (player_id, mailing_id)
);
create index announcement_reads_mailing on announcement_reads (mailing_id);

create table notification_settings (
    player_id uuid primary key,
    muted_types text[] not null
);
