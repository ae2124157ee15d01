-- store::seasons::claim_season: claims, until $3, the oldest season that ended by $1, has no final standings yet
-- (frozen_at is null), and is not claimed at $2. So only one worker at a time processes a season.
update seasons
set claimed_until = $3
where season = (
    select season
    from seasons
    where frozen_at is null and ends_at <= $1 and (claimed_until is null or claimed_until < $2)
    order by season
    limit 1
    for update skip locked
)
returning season
