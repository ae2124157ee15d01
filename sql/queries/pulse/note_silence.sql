-- store::pulse::note_silence: this instance ($1) cannot announce what it changes, for the next $2 seconds at least. Readers
-- count a note for three seconds after its time. Those who said so long ago are forgotten.
with forgotten as (
    delete from silences where noted_at < clock_timestamp() - interval '1 minute' and instance <> $1
)
insert into silences (instance, noted_at)
values ($1, clock_timestamp() + make_interval(secs => $2::float8 - 3))
on conflict (instance) do update set noted_at = excluded.noted_at
