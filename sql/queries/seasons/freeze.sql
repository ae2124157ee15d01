-- store::seasons::freeze_season: ranks the final scores of season $1, best first. Of players with equal scores, the one
-- with the smaller id, who is older, ranks first. Banned players are omitted.
with ranked as (
    insert into season_standings (player_id, season, rank, score)
    select player.player_id, $1, row_number() over (order by final.score desc, player.player_id), final.score
    from season_scores as final
    join players as player on player.player_id = final.player_id and player.banned_at is null
    where final.season = $1
    on conflict (player_id, season) do nothing
    returning 1
),
counted as (select count(*) as ranked_players from ranked),
-- Deletes the scores, which are in the standings now. Also deletes scores of earlier seasons that were inserted after
-- the standings of those seasons were stored.
done as (
    delete from season_scores
    where season in (select season from seasons where season = $1 or frozen_at is not null)
),
-- Deletes entries of deleted players from the previous season's standings: a player may have been deleted while those
-- standings were being stored.
orphans as (
    delete from season_standings as standing
    where standing.season = $1 - 1
        and not exists (select from players where players.player_id = standing.player_id)
),
frozen as (
    update seasons
    set frozen_at = $2, ranked_players = counted.ranked_players, claimed_until = null
    from counted
    where season = $1
    returning starts_at
),
-- Tells everybody that the season has ended.
told as (
    insert into outbox (type, at, data)
    select 'season_ended', $2, jsonb_build_object(
        'season', to_char(starts_at at time zone 'UTC', 'IYYY"-w"IW')
    )
    from frozen
),
signalled as (
    insert into signals (outbox) select true from frozen
)
select ranked_players from counted
