\set number random(0, :streams - 1)
begin;
update streams set head = head + 1 where stream = 'bench:' || lpad(:number::text, 8, '0') returning head \gset
insert into stream_events (slot, stream, sequence, at, type, data)
    values (0, 'bench:' || lpad(:number::text, 8, '0'), :head, now(), 'bench.event', '"' || repeat('x', 150) || '"');
commit;
