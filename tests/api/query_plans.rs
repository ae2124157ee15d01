//! The query plans of the statements with which lanes write players. A lane is a thread that executes players' commands
//! and commits them in batches.

use crate::support::World;

/// The plan of a lane's statement, with the session settings of a lane.
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
        // A nested loop reads the batch in its order, and finds each row by its key.
        let update = plan.split_once("Update on players").expect("an update").1;
        let nested_loop = update.split_once("Nested Loop").expect("a nested loop").1;
        let (batch, lookup) =
            nested_loop.split_once("Index Scan using players_pkey").expect("a look-up");
        assert!(batch.contains("change"), "{plan}");
        assert!(
            lookup.trim_start().contains("Index Cond: (player_id = change.player_id)"),
            "{plan}"
        );
        assert!(!plan.contains("Sort"), "{plan}");
    }
}

#[tokio::test]
async fn a_batch_is_joined_with_its_players_by_hashing() {
    let world = World::new().await;
    let plan = plan(&world, "sql/queries/players/commit.sql").await;
    // One each for the stored outcomes, the ledger, the records and the finished seasons.
    assert_eq!(plan.matches("(hashed SubPlan").count(), 4, "{plan}");
    // One for the players, two for the idempotency keys in slots, and one for seasons, of which there are few.
    assert_eq!(plan.matches("Nested Loop").count(), 4, "{plan}");
}
