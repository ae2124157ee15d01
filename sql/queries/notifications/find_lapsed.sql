-- store::notifications::find_lapsed: the players who have notifications that have expired at $1 or are older than $2.
select distinct player_id
from (
    (select player_id from notifications where expires_at <= $1 limit 1000)
    union all
    (select player_id from notifications where at < $2 limit 1000)
) as lapsed
order by player_id
limit 200
