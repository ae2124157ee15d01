-- store::streams::stream_heads: the heads of those of the streams that have events.
select stream, head from streams where stream = any($1)
