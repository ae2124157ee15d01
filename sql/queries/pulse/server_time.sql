-- store::pulse::server_time: the database's time.
select clock_timestamp() as now
