-- store::notifications::insert_notifications: adds notifications of players.
insert into notifications (
    player_id, notification_id, sequence, type, priority, mailing_id, data, at, expires_at
)
select *
from unnest(
    $1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::smallint[], $6::uuid[], $7::jsonb[], $8::timestamptz[],
    $9::timestamptz[]
)
