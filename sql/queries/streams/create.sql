-- store::streams::lock_streams: creates the streams that do not exist yet. $1 is sorted.
insert into streams (stream)
select name from unnest($1::text[]) as wanted (name) order by name
on conflict (stream) do nothing
