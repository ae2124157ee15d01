-- store::writes::check_writes: a write that changes nothing that anybody reads: always the same row, with a time long
-- ago.
insert into silences (instance, noted_at)
values ('00000000-0000-0000-0000-000000000000', 'epoch')
on conflict (instance) do update set noted_at = excluded.noted_at
