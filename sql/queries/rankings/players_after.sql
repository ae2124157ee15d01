-- store::rankings::players_after: the next rows in player_id order, as players/load.sql.
select player_id, revision, version, energy, lifetime_energy, settled_at, last_seen_at,
    click_tokens, clicks_filled_at, unseen_energy, ledger_balance, away_seconds,
    away_credited_seconds, away_energy, away_ended_at, cores, inventory, display_name, username,
    created_at, banned_at, catalogue_version, season, season_base
from players
where player_id > $1
order by player_id
limit $2
