-- store::seed::analyze_players: so that plans are right for that many at once.
analyze players
