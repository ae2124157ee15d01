-- store::rankings::ranking_news: the reports of other instances.
select news_id, players from ranking_news where told_at >= $2 and instance <> $1
