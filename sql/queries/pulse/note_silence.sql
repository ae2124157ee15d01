-- store::pulse::note_silence: notes that this instance ($1) cannot announce its changes, for at least the next $2
-- seconds. Readers respect a note until three seconds after its time. Deletes old notes.
with forgotten as (
    delete from silences where noted_at < clock_timestamp() - interval '1 minute' and instance <> $1
)
insert into silences (instance, noted_at)
values ($1, clock_timestamp() + make_interval(secs => $2::float8 - 3))
on conflict (instance) do update set noted_at = excluded.noted_at
