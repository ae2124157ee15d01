-- store::operators::audit_of_player: the entries of the audit log about a player, newest first.
select at, action, detail from audit_log where player_id = $1 order by audit_id desc limit 1000
