-- store::seasons::extend_claim: extends the claim on a season to $2.
update seasons set claimed_until = $2 where season = $1 and frozen_at is null
