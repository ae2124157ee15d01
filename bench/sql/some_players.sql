-- Players for the benchmarks, at any rank.
select player_id from players order by random() limit $1
