-- store::rankings::tell_ranking_news: tells other instances whose rows have changed, and forgets what all have heard.
with forgotten as (delete from ranking_news where told_at < $4)
insert into ranking_news (instance, players, told_at) values ($1, $2, $3)
