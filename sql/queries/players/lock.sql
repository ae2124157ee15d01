-- store::players::lock: as load, and nobody else writes them until the transaction ends. Locks in player_id order, as
-- every statement over several players does, so that no two of them wait for each other.
select player_id, revision, version, energy, lifetime_energy, settled_at, last_seen_at,
    click_tokens, clicks_filled_at, unseen_energy, ledger_balance, away_seconds,
    away_credited_seconds, away_energy, away_ended_at, cores, inventory, display_name, username,
    created_at, banned_at, catalogue_version, season, season_base
from players
where player_id = any($1)
order by player_id
for no key update
