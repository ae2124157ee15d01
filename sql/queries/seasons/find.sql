-- store::seasons::find_season: one season.
select season, ranked_players from seasons where season = $1
