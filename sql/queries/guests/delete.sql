-- store::purge::purge_guests: deletes all data about some guests, as players/delete.sql does for one player, including
-- the revocations, from which the instances learn of it.
with gone as (
    delete from players where player_id = any($1) returning player_id
),
gone_names as (delete from folded_names where player_id = any($1)),
gone_sessions as (delete from sessions where player_id = any($1)),
gone_ledger as (delete from ledger where player_id = any($1)),
gone_records as (
    delete from idempotency_records
    where slot in (0, 1, 2, 3, 4, 10, 11, 12) and player_id = any($1)
),
gone_scores as (delete from season_scores where player_id = any($1)),
gone_standings as (delete from season_standings where player_id = any($1)),
-- As in players/delete.sql.
gone_outbox as (
    delete from outbox
    where outbox_id in (select outbox_id from outbox where player_id = any($1) for update skip locked)
),
gone_notifications as (delete from notifications where player_id = any($1)),
gone_marks as (delete from announcement_reads where player_id = any($1)),
gone_settings as (delete from notification_settings where player_id = any($1)),
gone_events as (
    delete from stream_events where slot in (0, 1, 2, 3, 4) and stream = any(array(select 'player:' || player_id from unnest($1::uuid[]) as gone (player_id)))
),
gone_streams as (
    delete from streams where stream = any(array(select 'player:' || player_id from unnest($1::uuid[]) as gone (player_id)))
),
tombstones as (
    insert into deleted_players (player_id, deleted_at)
    select player_id, coalesce($2::timestamptz, clock_timestamp()) from gone
    on conflict (player_id) do nothing
)
insert into revocations (subject, reason, revoked_at)
select player_id, 'player_deleted', coalesce($2::timestamptz, clock_timestamp()) from gone
