-- store::mailings::note_ended: notes that a mailing was withdrawn or has expired.
update mailings set ended_at = $2 where mailing_id = any($1) and ended_at is null
