-- store::seasons::season_results_of: the results of a player in the seasons that it has left.
select season, rank, score from season_standings where player_id = $1
union all
select season, null, score from season_scores where player_id = $1
order by season desc
