-- store::streams::lock_streams: locks streams until the end of the transaction, in the order of their names, and returns
-- their heads. Creates those that do not exist. $1 is sorted. A stream that another transaction was creating at this
-- moment is missing in the result, because this statement's snapshot does not contain it; a second run finds it.
with created as (
    insert into streams (stream)
    select name from unnest($1::text[]) as wanted (name) order by name
    on conflict (stream) do nothing
    returning stream, head
)
select stream, head from created
union all
select locked.stream, locked.head
from (
    select stream, head from streams where stream = any($1) order by stream for no key update
) as locked
