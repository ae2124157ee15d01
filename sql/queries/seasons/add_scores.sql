-- store::seasons::add_final_scores: inserts final scores of season $1. Existing ones are not replaced.
insert into season_scores (player_id, season, score)
select player_id, $1, score
from unnest($2::uuid[], $3::float8[]) as final (player_id, score)
on conflict (player_id, season) do nothing
