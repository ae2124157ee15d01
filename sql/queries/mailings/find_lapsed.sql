-- store::mailings::find_lapsed_announcements: announcements that have expired at $1 or were sent before $2, and were not
-- withdrawn.
select mailing_id
from mailings
where sequence is not null and ended_at is null and (expires_at <= $1 or sent_at < $2)
order by mailing_id
limit 100
