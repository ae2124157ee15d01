-- store::seasons::players_still_in: the next rows in player_id order, as in players/load.sql, that have not been
-- settled past the end of season $1 and whose final score is not stored yet.
select {{player_columns}}
from players
where player_id > $2
    and season <= $1
    and not exists (
        select from season_scores as final
        where final.player_id = players.player_id and final.season = $1
    )
order by player_id
limit $3
