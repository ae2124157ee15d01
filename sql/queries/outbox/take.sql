-- store::outbox::take_outbox: takes the oldest entries that no other instance is working on.
delete from outbox
where outbox_id in (
    select outbox_id from outbox order by outbox_id limit $1 for update skip locked
)
returning outbox_id, player_id, type, at, data
