-- store::rankings::report_ranking_news: reports to other instances which players' rows have changed, and deletes old
-- reports.
with forgotten as (delete from ranking_news where told_at < $4)
insert into ranking_news (instance, players, told_at) values ($1, $2, $3)
