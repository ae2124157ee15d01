-- store::seasons::claim_season: claims, until $3, the oldest season that ended by $1 and is not frozen. One worker at a
-- time processes a season; an expired claim is free again.
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
