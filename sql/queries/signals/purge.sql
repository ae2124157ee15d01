-- store::signals::purge_signals: deletes signals that every instance has read. An instance that has not looked for that
-- long reads the heads of all streams that it follows.
delete from signals
where ctid = any(array(select ctid from signals where at < clock_timestamp() - interval '1 minute' limit 10000))
