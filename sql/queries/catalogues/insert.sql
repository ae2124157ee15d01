-- store::catalogues::insert: puts a version after the one it was made from; a race violates catalogues_pkey.
insert into catalogues (version, effective_at, items, removed, created_at)
values ($1, $2, $3, $4, $5)
