-- store::mailings::recipients_of: the players who have a notification of a mailing.
select player_id from notifications where mailing_id = $1
