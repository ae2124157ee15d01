-- store::seasons::freeze_season: locks the season, waiting for another worker that stores its standings. Returns no row
-- if the standings are stored. Raises the time-out, because ranking a million players takes long.
select set_config('statement_timeout', '10min', true)
from seasons
where season = $1 and frozen_at is null
for update
