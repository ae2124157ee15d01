-- store::seed::analyze_players: updates the statistics, so that plans suit the number of players.
analyze players
