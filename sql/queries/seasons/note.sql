-- store::seasons::note_seasons: inserts the seasons after the last stored one up to $1, including seasons in which no
-- server ran.
insert into seasons (season, starts_at, ends_at)
select number, to_timestamp(345600 + number * 604800), to_timestamp(345600 + (number + 1) * 604800)
from generate_series(
    coalesce((select max(season) + 1 from seasons where season <= $1), $1::bigint), $1
) as number
on conflict (season) do nothing
