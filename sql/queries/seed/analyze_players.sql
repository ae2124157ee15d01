-- store::seed::analyze_players: updates the statistics, so that query plans fit the number of players.
analyze players
