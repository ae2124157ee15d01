-- store::signals::read_signals: the signals that were not visible in the snapshot $1, and the present snapshot. Rows of
-- transactions that commit late are found too, and none twice. Without $1 there are no signals.
select present.snapshot, signal.poll, signal.outbox, signal.streams, signal.heads,
    extract(epoch from clock_timestamp() - signal.at)::float8 as age
from (select pg_current_snapshot()::text as snapshot) as present
left join signals as signal
    on signal.xact >= pg_snapshot_xmin($1::text::pg_snapshot)
    and not pg_visible_in_snapshot(signal.xact, $1::text::pg_snapshot)
