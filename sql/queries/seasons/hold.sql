-- store::seasons::freeze_season: waits for another worker that is freezing the season; returns nothing if it is frozen.
-- Ranking a million players takes a while.
select set_config('statement_timeout', '10min', true)
from seasons
where season = $1 and frozen_at is null
for update
