-- Ordered lists of events. `head` is the sequence of the last event. A transaction that appends locks the row until its commit, so
-- sequences are in the order of commit and have no gaps.
create table streams (
    -- player:<id> | announcements
    stream text primary key,
    head bigint not null default 0
) with (fillfactor = 70);

-- Events of the last hour. A ring of partitions (store::ring): each slot is in use for 20 minutes, and is emptied before
-- its next use. `data` refers to rows of other tables and copies none of their texts.
create table stream_events (
    slot smallint not null,
    stream text not null,
    sequence bigint not null,
    at timestamptz not null,
    type text not null,
    -- The server's own id of the call that caused the event.
    request_id uuid,
    data text not null,
    primary key (slot, stream, sequence)
) partition by list (slot);
create table stream_events_0 partition of stream_events for values in (0);
create table stream_events_1 partition of stream_events for values in (1);
create table stream_events_2 partition of stream_events for values in (2);
create table stream_events_3 partition of stream_events for values in (3);
create table stream_events_4 partition of stream_events for values in (4);

-- What happened to players, written in the statement that changed them. It gets its place in a stream a moment later, so
-- that no change of a player waits for a stream.
create table outbox (
    outbox_id bigint generated always as identity primary key,
    -- Null if it concerns everybody.
    player_id uuid,
    -- offline_cap_reached | new_sign_in | grant | season_ended
    type text not null,
    at timestamptz not null,
    data jsonb not null
);
create index outbox_player_id on outbox (player_id) where player_id is not null;
