-- store::mailings::insert_mailing: adds a mailing, unless there is one with the same key. Waits for a transaction that
-- is adding one.
insert into mailings (
    mailing_id, players, type, priority, title, body, data, dedupe_key, request_hash, created_at, send_at, expires_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (dedupe_key) where dedupe_key is not null do nothing
returning mailing_id
