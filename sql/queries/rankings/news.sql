-- store::rankings::ranking_news: the reports that other instances made at or after $2.
select news_id, players from ranking_news where told_at >= $2 and instance <> $1
