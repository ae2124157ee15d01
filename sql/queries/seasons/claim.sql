-- store::seasons::claim_season: takes the oldest season that ended by $1 and is not frozen, until $3. One at a time works on
-- a season; a claim that was not held is free again.
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
