-- store::streams::lock_streams: locks streams until the end of the transaction, and reads their heads. A separate
-- statement after `create`, so that the heads are those after all earlier commits.
select stream, head
from streams
where stream = any($1)
order by stream
for no key update
