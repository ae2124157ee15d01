-- store::notifications::mark_announcements_read: marks announcements as read by a player: those with the ids $2, or
-- those up to the sequence $3. Returns those that were unread.
insert into announcement_reads (player_id, mailing_id, read_at)
select $1, announcement.mailing_id, $4
from mailings as announcement
join players as player on player.player_id = $1
where announcement.sequence is not null
    and announcement.ended_at is null
    and announcement.sent_at >= player.created_at
    and (announcement.mailing_id = any($2) or announcement.sequence <= $3)
on conflict (player_id, mailing_id) do nothing
returning mailing_id
