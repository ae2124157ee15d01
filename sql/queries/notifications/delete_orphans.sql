-- store::notifications::delete_orphans: deletes what belongs to players who no longer exist, because an instance of the
-- previous release deleted them. $1: who were deleted since the last time.
with gone as (
    select deleted.player_id
    from deleted_players as deleted
    where deleted.deleted_at >= $1
        and not exists (select from players where players.player_id = deleted.player_id)
),
notifications_gone as (delete from notifications using gone where notifications.player_id = gone.player_id),
marks_gone as (delete from announcement_reads using gone where announcement_reads.player_id = gone.player_id),
settings_gone as (
    delete from notification_settings using gone where notification_settings.player_id = gone.player_id
),
outbox_gone as (delete from outbox using gone where outbox.player_id = gone.player_id),
events_gone as (
    delete from stream_events using gone
    where slot in (0, 1, 2, 3, 4) and stream = 'player:' || gone.player_id
)
delete from streams using gone where stream = 'player:' || gone.player_id
