-- store::seasons::final_standings: a part of a season's final standings, without players who were banned or deleted
-- afterwards.
select standing.rank, standing.player_id, player.display_name, standing.score
from season_standings as standing
join players as player on player.player_id = standing.player_id and player.banned_at is null
where standing.season = $1 and standing.rank > $2 and standing.rank <= $3
order by standing.rank
