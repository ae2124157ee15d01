-- store::writes::check_writes: a trial write without effect: it always writes the same row, with a time so long ago
-- that readers ignore the row.
insert into silences (instance, noted_at)
values ('00000000-0000-0000-0000-000000000000', 'epoch')
on conflict (instance) do update set noted_at = excluded.noted_at
