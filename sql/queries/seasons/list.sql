-- store::seasons::list_seasons: the seasons before $1, or all, newest first.
select season, ranked_players
from seasons
where $1::bigint is null or season < $1
order by season desc
limit $2
