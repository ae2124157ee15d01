-- Display names with letters beyond ASCII as searches compare them: folded by Unicode's rules, which the server knows and a
-- database's locale need not. A row counts only while the player still has that display name, so a statement that renames a
-- player need not change it. Names in ASCII have no row: `lower` in the C collation folds them.
create table folded_names (
    player_id uuid primary key,
    display_name text not null,
    folded text not null
);

-- Those that are to be folded, so that a search need not look at all players for them.
create index players_named_beyond_ascii on players (player_id) where octet_length(display_name) > char_length(display_name);
