-- Signals to all instances about what changed. Each instance reads the rows that became visible since it last read. A row
-- is written in the transaction of the change, so it reaches every instance even if the writer ends right after its commit.
-- Rows are needed for a few seconds. After a crash the table is empty, and every instance reads the heads of all streams.
create unlogged table signals (
    -- The transaction that wrote the row. With a snapshot it tells whether the row was visible before.
    xact xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp(),
    -- Whether something changed that the poller reads: revocations, catalogues, silences.
    poll boolean not null default false,
    -- Whether there are new rows in the outbox.
    outbox boolean not null default false,
    -- Streams with new events, and the sequence of the last event of each.
    streams text[] not null default '{}',
    heads bigint[] not null default '{}'
);
create index signals_xact on signals (xact);
create index signals_at on signals (at);

-- Triggers, so that what instances of the previous release write is told too.
create function signal_poll() returns trigger
language plpgsql
as $$
begin
    insert into signals (poll) values (true);
    return null;
end
$$;
create trigger signal_poll after insert on revocations for each statement execute function signal_poll();
create trigger signal_poll after insert on catalogues for each statement execute function signal_poll();
-- For each row: a silence that is renewed is no news.
create trigger signal_poll after insert on silences for each row execute function signal_poll();
