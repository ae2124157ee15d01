-- store::pulse::note_silence: this instance cannot announce what it changes. Those who said so long ago are forgotten.
with forgotten as (
    delete from silences where noted_at < clock_timestamp() - interval '1 minute' and instance <> $1
)
insert into silences (instance, noted_at) values ($1, clock_timestamp())
on conflict (instance) do update set noted_at = excluded.noted_at
