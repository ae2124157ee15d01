-- store::pulse::note_silence: stores that instance $1 cannot announce its changes for at least the next $2 seconds.
-- Readers respect a row until three seconds after its time, so this stores a time that is three seconds less than $2 in
-- the future. Also deletes old rows of other instances.
with forgotten as (
    delete from silences where noted_at < clock_timestamp() - interval '1 minute' and instance <> $1
)
insert into silences (instance, noted_at)
values ($1, clock_timestamp() + make_interval(secs => $2::float8 - 3))
on conflict (instance) do update set noted_at = excluded.noted_at
