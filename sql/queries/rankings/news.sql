-- store::rankings::ranking_news: what other instances have told.
select news_id, players from ranking_news where told_at >= $2 and instance <> $1
