-- store::operators::audit: inserts an entry into the audit log.
insert into audit_log (at, action, player_id, detail) values ($1, $2, $3, $4)
