-- Tells a repeat by what it asks for, however its body is written; request_hash is of the body's bytes. Combined with request_hash by
-- exclusive or: a release that does not know this column may put another request in the place of a lapsed one, and what was
-- left here then fits nothing.
alter table idempotency_records add column command_hash bytea;
