\set number random(0, :streams - 1)
with moved as (
    update streams set head = head + 1 where stream = 'bench:' || lpad(:number::text, 8, '0') returning stream, head
)
insert into stream_events (slot, stream, sequence, at, type, data)
select 0, stream, head, now(), 'bench.event', '"' || repeat('x', 150) || '"' from moved;
