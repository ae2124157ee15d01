-- store::seasons::players_still_in: as players/load.sql, the next rows in player_id order that nobody has folded past the
-- end of season $1 and whose final score is not written yet.
select player_id, revision, version, energy, lifetime_energy, settled_at, last_seen_at,
    click_tokens, clicks_filled_at, unseen_energy, ledger_balance, away_seconds,
    away_credited_seconds, away_energy, away_ended_at, cores, inventory, display_name, username,
    created_at, banned_at, catalogue_version, season, season_base
from players
where player_id > $2
    and season <= $1
    and not exists (
        select from season_scores as final
        where final.player_id = players.player_id and final.season = $1
    )
order by player_id
limit $3
