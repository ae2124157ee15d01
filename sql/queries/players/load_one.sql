-- store::players::load_one: as load.sql, for one player. Of an array Postgres makes a plan anew each time, as it hopes to
-- gain by knowing how long it is; this plan is made once.
select player_id, revision, version, energy, lifetime_energy, settled_at, last_seen_at,
    click_tokens, clicks_filled_at, unseen_energy, ledger_balance, away_seconds,
    away_credited_seconds, away_energy, away_ended_at, cores, inventory, display_name, username,
    created_at, banned_at, catalogue_version, season, season_base
from players
where player_id = $1
