-- store::streams::lock_streams: locks streams until the end of the transaction, in the order of their names, and returns
-- their heads. A statement of its own after the creation: its snapshot has the streams that another transaction created
-- meanwhile, so all are locked in one order.
select stream, head
from streams
where stream = any($1)
order by stream
for no key update
