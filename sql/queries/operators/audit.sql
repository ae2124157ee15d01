-- store::operators::audit: notes what an operator changed.
insert into audit_log (at, action, player_id, detail) values ($1, $2, $3, $4)
