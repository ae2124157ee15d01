-- bench/programs/bench_tokens: random players.
select player_id from players order by random() limit $1
