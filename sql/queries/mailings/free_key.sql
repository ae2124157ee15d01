-- store::mailings::insert_mailing: a key may be used again after 30 days.
update mailings set dedupe_key = null where dedupe_key = $1 and created_at < $2
