-- store::mailings::note_sent: notes that a mailing was sent, an announcement with its sequence.
update mailings set sent_at = $2, sequence = $3 where mailing_id = $1
