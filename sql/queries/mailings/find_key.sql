-- store::mailings::insert_mailing: the mailing with a key.
select mailing_id, request_hash from mailings where dedupe_key = $1
