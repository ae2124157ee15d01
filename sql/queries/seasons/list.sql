-- store::seasons::list_seasons: newest first.
select season, ranked_players
from seasons
where $1::bigint is null or season < $1
order by season desc
limit $2
