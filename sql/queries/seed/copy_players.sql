-- store::seed::copy_players: many players at once.
copy players (
    player_id, version, energy, lifetime_energy, settled_at, last_seen_at, accrues_until, click_tokens,
    clicks_filled_at, energy_per_second, catalogue_version, cores, inventory, display_name, created_at,
    season, season_base, ledger_balance
)
from stdin (format binary)
