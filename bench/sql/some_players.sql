-- Players for the benchmarks, anywhere on the boards.
select player_id from players order by random() limit $1
