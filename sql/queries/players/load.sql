-- store::players::load: the rows of some players, those that exist.
select player_id, revision, version, energy, lifetime_energy, settled_at, last_seen_at,
    click_tokens, clicks_filled_at, unseen_energy, ledger_balance, away_seconds,
    away_credited_seconds, away_energy, away_ended_at, cores, inventory, display_name, username,
    created_at, banned_at, catalogue_version, season, season_base
from players
where player_id = any($1)
