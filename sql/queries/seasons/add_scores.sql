-- store::seasons::add_final_scores: final scores of season $1.
insert into season_scores (player_id, season, score)
select player_id, $1, score
from unnest($2::uuid[], $3::float8[]) as final (player_id, score)
on conflict (player_id, season) do nothing
