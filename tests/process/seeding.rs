//! The command `seed`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Folder, Program, run};

#[tokio::test]
async fn seeded_players_exist_and_are_ranked() {
    let folder = Folder::new("seeding");
    let data = folder.path().to_str().expect("a path in UTF-8");
    let variables = [("DATA_DIR", data)];
    let output = run(&["seed", "--players", "2500"], &variables);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("100% 2500 of 2500 players"), "{log}");
    // A second run adds players.
    assert!(run(&["seed", "--players", "20"], &variables).status.success());
    let program = Program::start(&variables);
    // The server is ready before all players are ranked.
    let deadline = Instant::now() + Duration::from_mins(1);
    let list = loop {
        let (_, list) = program.call("GET", "/api/v1/rankings?limit=100", "", None).await;
        if list["total_players"] == 2520 {
            break list;
        }
        assert!(Instant::now() < deadline, "{list}");
    };
    let scores: Vec<f64> = list["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .filter_map(|it| it["score"].as_f64())
        .collect();
    assert_eq!(scores.len(), 100);
    assert!(scores.is_sorted_by(|one, other| one >= other) && scores[99] > 1e6, "{scores:?}");
    let first = list["entries"][0]["player_id"].as_str().expect("an id").to_owned();
    let (status, profile) =
        program.call("GET", &format!("/api/v1/players/{first}"), "", None).await;
    assert_eq!((status, &profile["player_id"]), (200, &Value::from(first)));
}

#[test]
fn an_invalid_number_of_players_is_refused() {
    for players in ["0", "-1", "many", "100000001"] {
        let output = run(&["seed", "--players", players], &[]);
        assert_eq!(output.status.code(), Some(2), "{players}");
    }
}
