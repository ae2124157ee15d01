-- Seasons are weeks from Monday 00:00 UTC, numbered from 1970-01-05 on; the same as domain::Season::at.
create function season_of(at timestamptz) returns bigint
language sql immutable parallel safe
as $$ select floor((extract(epoch from at) - 345600) / 604800)::bigint $$;

-- The season in which settled_at lies, and the lifetime energy that the player had when it began.
alter table players
    add column season bigint not null default season_of(now()),
    add column season_base double precision not null default 0;

-- What was gained before there were seasons counts for none.
update players set season = season_of(settled_at), season_base = lifetime_energy;

-- Seasons as they are known. One that has ended is frozen once: its final standings are written and do not change.
create table seasons (
    season bigint primary key,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    frozen_at timestamptz,
    -- How many players the final standings ranked.
    ranked_players bigint,
    -- Until when an instance is at work on freezing it; nobody else is meanwhile.
    claimed_until timestamptz
);

-- Final scores of a season that is not frozen yet, each written with the row that left the season, or by the freeze
-- for those whose row has not.
create table season_scores (
    player_id uuid not null,
    season bigint not null,
    score double precision not null,
    primary key (player_id, season)
);
create index season_scores_season on season_scores (season);

-- Final standings. The ranks of players who are deleted stay empty.
create table season_standings (
    player_id uuid not null,
    season bigint not null,
    rank bigint not null,
    score double precision not null,
    primary key (player_id, season)
);
create index season_standings_rank on season_standings (season, rank);

create index deleted_players_deleted_at on deleted_players (deleted_at);

-- Whose rows an instance has changed, told to the others every few seconds where there is no Redis. It is news for half a
-- minute, and worth nothing after a crash.
create unlogged table ranking_news (
    news_id bigint generated always as identity primary key,
    instance uuid not null,
    players uuid[] not null,
    told_at timestamptz not null
);
create index ranking_news_told_at on ranking_news (told_at);
