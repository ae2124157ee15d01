-- store::catalogues::newer_than: the versions above $1, oldest first.
select version, effective_at, items, removed, texts from catalogues where version > $1 order by version
