-- store::notifications::delete_orphans: deletes what is left of players who were deleted since $1: by an instance of the
-- previous release, which does not know these tables; and their ids in mailings. A mailing of which no recipient is left
-- is deleted.
with gone as materialized (
    select deleted.player_id, 'player:' || deleted.player_id as stream
    from deleted_players as deleted
    where deleted.deleted_at >= $1
        and not exists (select from players where players.player_id = deleted.player_id)
),
ids as materialized (
    select coalesce(array_agg(player_id), '{}') as players, coalesce(array_agg(stream), '{}') as streams from gone
),
notifications_gone as (
    delete from notifications where player_id = any(array(select player_id from gone))
),
marks_gone as (
    delete from announcement_reads where player_id = any(array(select player_id from gone))
),
settings_gone as (
    delete from notification_settings where player_id = any(array(select player_id from gone))
),
events_gone as (
    delete from stream_events
    where slot in (0, 1, 2, 3, 4) and stream = any(array(select stream from gone))
),
named as (
    select mailing.mailing_id, array(
        select recipient from unnest(mailing.players) as recipient where recipient <> all (ids.players)
    ) as players
    from mailings as mailing
    cross join ids
    where mailing.players && ids.players
),
mailings_gone as (
    delete from mailings using named where mailings.mailing_id = named.mailing_id and named.players = '{}'
),
mailings_changed as (
    update mailings set players = named.players
    from named
    where mailings.mailing_id = named.mailing_id and named.players <> '{}'
)
delete from streams where stream = any(array(select stream from gone))
