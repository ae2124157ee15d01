-- store::mailings::load_announcements: those of some announcements that were not withdrawn and have not expired.
select mailing_id, players, type, priority, title, body, data, dedupe_key, created_at, send_at, sent_at, expires_at,
    ended_at, sequence
from mailings
where mailing_id = any($1) and ended_at is null and sequence is not null
