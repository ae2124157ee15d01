-- store::catalogues::owned_items: those of some generators ($1) and upgrades ($2) that at least one player owns.
select id, 'generator' as kind
from unnest($1::text[]) as id
where exists (select from players where inventory -> 'generators' ? id)
union all
select id, 'upgrade'
from unnest($2::text[]) as id
where exists (select from players where inventory -> 'upgrades' ? id)
