-- store::streams::append_events: appends events to streams that the transaction has locked, and signals it to the
-- instances. A stream is written only if its head is the one that was read, so a number is never skipped or used twice.
with moved as (
    update streams
    set head = change.head
    from unnest($1::text[], $2::bigint[], $3::bigint[]) as change (stream, expected_head, head)
    where streams.stream = change.stream and streams.head = change.expected_head
    returning streams.stream
),
added as (
    insert into stream_events (slot, stream, sequence, at, type, request_id, data)
    select event.slot, event.stream, event.sequence, event.at, event.type, event.request_id, event.data
    from unnest(
        $4::smallint[], $5::text[], $6::bigint[], $7::timestamptz[], $8::text[], $9::uuid[], $10::text[]
    ) as event (slot, stream, sequence, at, type, request_id, data)
),
signalled as (
    insert into signals (streams, heads) values ($1, $3)
)
select count(*) as moved from moved
