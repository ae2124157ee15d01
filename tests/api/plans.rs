//! The plans with which Postgres runs the statements of lanes.

use crate::support::World;

/// The plan of a lane's statement, made in a lane's session.
async fn plan(world: &World, path: &str) -> String {
    let database = world.connect().await;
    let file = |path: &str| std::fs::read_to_string(path).expect("a file");
    database.batch_execute(&file("sql/queries/lanes/session.sql")).await.expect("set");
    let statement = idlewatt::store::expand_columns(&file(path));
    // Parameters are numbered without gaps.
    let parameters =
        (1..=999).take_while(|number| statement.contains(&format!("${number}"))).count();
    database.batch_execute(&format!("prepare statement as {statement}")).await.expect("prepared");
    let nulls = vec!["null"; parameters].join(", ");
    let explain = format!("explain (costs off) execute statement ({nulls})");
    let lines = database.query(&explain, &[]).await.expect("explained");
    lines.iter().map(|line| line.get::<_, String>(0) + "\n").collect()
}

#[tokio::test]
async fn rows_are_locked_in_the_order_of_the_batch() {
    let world = World::new().await;
    for path in ["commit.sql", "commit_clicks.sql"] {
        let plan = plan(&world, &format!("sql/queries/players/{path}")).await;
        // The batch is walked, and each row is found by its key.
        let update = plan.split_once("Update on players").expect("an update").1;
        let walk = update.split_once("Nested Loop").expect("a walk").1;
        let (batch, lookup) = walk.split_once("Index Scan using players_pkey").expect("a look-up");
        assert!(batch.contains("change"), "{plan}");
        assert!(
            lookup.trim_start().contains("Index Cond: (player_id = change.player_id)"),
            "{plan}"
        );
        assert!(!plan.contains("Sort"), "{plan}");
    }
}

#[tokio::test]
async fn lines_of_a_batch_are_not_compared_with_each_of_its_players() {
    let world = World::new().await;
    let plan = plan(&world, "sql/queries/players/commit.sql").await;
    // The stored outcomes, and then ledger, records and finished seasons.
    assert_eq!(plan.matches("(hashed SubPlan").count(), 4, "{plan}");
    // The one of players, two of keys in slots, and the one of seasons, of which there are few.
    assert_eq!(plan.matches("Nested Loop").count(), 4, "{plan}");
}
