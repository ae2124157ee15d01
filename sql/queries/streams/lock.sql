-- store::streams::lock_streams: locks streams until the end of the transaction, and returns their heads. Creates those
-- that do not exist. An insert that finds a conflict locks the row and reads its latest version, even one that was
-- committed after this statement's snapshot: so the heads are those after all earlier commits. $1 is sorted, so that all
-- transactions lock in the same order.
insert into streams as existing (stream)
select name from unnest($1::text[]) as wanted (name) order by name
on conflict (stream) do update set head = existing.head
returning stream, head
