-- store::seasons::extend_claim: holds the claim for longer.
update seasons set claimed_until = $2 where season = $1 and frozen_at is null
