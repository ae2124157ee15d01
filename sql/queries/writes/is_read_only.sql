-- store::writes::is_read_only: whether this session is read-only, on a standby or by a default of the database or role.
select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only
