-- store::mailings::hold_mailing: locks a mailing until the end of the transaction.
select mailing_id, players, type, priority, title, body, data, dedupe_key, created_at, send_at, sent_at, expires_at,
    ended_at, sequence
from mailings
where mailing_id = $1
for update
