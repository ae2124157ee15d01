//! Every rank and page, compared with a ranking that Postgres calculates.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use idlewatt::clock::Clock;
use idlewatt::domain::{Action, Command};
use idlewatt::rankings::{Board, Entry, Error, List, Unavailable};
use uuid::Uuid;

use super::{add_players, perform, rebuild, test_in_process_and_on_redis};
use crate::support::books::{Dice, eventually};
use crate::support::{TestApp, World};

const PLAYERS: usize = 3000;
const PAGE: usize = 100;

/// A whole board, with scores and ranks calculated by Postgres.
async fn ranking_in_sql(world: &World, board: Board) -> Vec<Entry> {
    let lifetime = "lifetime_energy + energy_per_second * greatest(
        extract(epoch from least($1, accrues_until) - settled_at)::float8, 0)";
    let score = match board {
        Board::LifetimeEnergy => lifetime.to_owned(),
        Board::EnergyPerSecond => "energy_per_second".to_owned(),
        Board::Season => format!("greatest({lifetime} - season_base, 0)"),
    };
    let sql = format!(
        "select player_id::text, display_name, score
         from (select player_id, display_name, {score} as score from players where banned_at is null) as ranked
         order by score desc, player_id"
    );
    let sql =
        sql.replace("$1", &format!("to_timestamp({})", world.clock.now().as_micros() as f64 / 1e6));
    let rows = world.connect().await.query(&sql, &[]).await.expect("ranked");
    let entries = (1..).zip(rows).map(|(rank, row)| Entry {
        rank,
        player: row.get::<_, String>(0).parse().expect("an id"),
        name: row.get::<_, String>(1).into(),
        score: row.get(2),
    });
    entries.collect()
}

/// A page. Repeats the request if Redis is late.
async fn list(app: &TestApp, board: Board, offset: usize, limit: usize) -> List {
    eventually("a page", async || app.server.rankings.page(board, offset, limit).await.ok()).await
}

/// A whole board, page by page.
async fn pages(app: &TestApp, board: Board) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let page = list(app, board, entries.len(), PAGE).await;
        if page.entries.is_empty() {
            assert_eq!(page.total_players, entries.len() as u64);
            return entries;
        }
        entries.extend(page.entries);
    }
}

/// Compares every page of every board, and the neighbours of some players, with Postgres.
async fn assert_matches_sql(app: &TestApp, dice: &mut Dice, what: &str) {
    for board in Board::ALL {
        let (expected, actual) = (ranking_in_sql(&app.world, board).await, pages(app, board).await);
        let differs = expected.iter().zip(&actual).find(|(expected, actual)| expected != actual);
        assert_eq!(differs, None, "{what}: {board:?}");
        assert_eq!(expected.len(), actual.len(), "{what}: {board:?}");
        for _ in 0..60 {
            let (own, around) = (dice.pick(&expected), dice.below(26) as usize);
            let found = eventually("neighbours", async || {
                app.server.rankings.surroundings(board, own.player, around).await.ok()
            });
            let found = found.await;
            assert_eq!((found.rank, found.score), (own.rank, own.score), "{what}: {board:?}");
            let position = own.rank as usize - 1;
            let last = (position + around + 1).min(expected.len());
            let neighbours = &expected[position.saturating_sub(around)..last];
            assert_eq!(found.list.entries, neighbours, "{what}: {board:?}");
        }
        let offset = dice.below(expected.len() as u64) as usize;
        let page = list(app, board, offset, 7).await;
        assert_eq!(page.entries, expected[offset..(offset + 7).min(expected.len())]);
    }
}

/// Publishes until the boards have exactly the players who are not banned or deleted.
async fn wait_for_bans_and_deletions(app: &TestApp) {
    let sql = "select player_id::text from players where banned_at is null";
    let rows = app.world.connect().await.query(sql, &[]).await.expect("players");
    let expected: BTreeSet<Uuid> =
        rows.iter().map(|row| row.get::<_, String>(0).parse().expect("an id")).collect();
    eventually("the boards have the players who are not banned or deleted", async || {
        app.server.rankings.publish().await.expect("published");
        let total = list(app, Board::LifetimeEnergy, 0, 1).await.total_players;
        if total != expected.len() as u64 {
            return None;
        }
        let ranked = pages(app, Board::LifetimeEnergy).await;
        let ranked: BTreeSet<Uuid> = ranked.into_iter().map(|entry| entry.player).collect();
        (ranked == expected).then_some(())
    })
    .await;
}

async fn set_banned(app: &TestApp, player: Uuid, banned: bool) {
    let path = format!("/players/{player}/{}", if banned { "ban" } else { "unban" });
    app.client.admin("POST", &path, Some(serde_json::json!({}))).await.expect(204);
}

/// Players with few different energies and cranks, so that there are many ties. Some energies are at the ends of the
/// range.
fn random_players(dice: &mut Dice) -> Vec<(f64, i64, f64)> {
    let energies = [0.0, 0.0, 1.0, 2.5, 1e3, 1e3, 1e6, 1e15, 1e300, 1e-9];
    let player = |_| {
        let ago = [0.0, 60.0, 3600.0, 40_000.0, 400_000.0];
        (*dice.pick(&energies), *dice.pick(&[0, 1, 2, 3]), *dice.pick(&ago))
    };
    (0..PLAYERS).map(player).collect()
}

async fn every_rank_and_page_matches_sql(world: World) {
    let dice = &mut Dice::new(6);
    // The middle of a week, so that all players who were seen recently are in the same season.
    world.advance(6.0 * 86_400.0);
    let first = world.start().await;
    let players = add_players(&world, &random_players(dice)).await;
    rebuild(&first).await;
    wait_for_bans_and_deletions(&first).await;
    assert_matches_sql(&first, dice, "rebuilt").await;
    let mut removed: HashMap<Uuid, bool> = HashMap::new();
    for round in 0..3 {
        let commands = (0..120).map(|_| {
            let player = *dice.pick(&players);
            let command = match dice.below(4) {
                0 => Command::Rename(format!("Renamed {}", dice.below(1000))),
                1 => Command::Grant { energy: 1e4, reason: "a prize".into() },
                2 => Command::Act(Action::Click { clicks: dice.below(30) + 1 }),
                _ => Command::ActInOrder(vec![Action::Click { clicks: 40 }]),
            };
            (player, command)
        });
        let commands: Vec<_> =
            commands.filter(|(player, _)| !removed.contains_key(player)).collect();
        let playing =
            join_all(commands.into_iter().map(|(it, command)| perform(&first, it, command)));
        if round % 2 == 0 {
            // A rebuild must not lose or overwrite changes that happen during it.
            let (rebuilt, _) = tokio::join!(first.server.rankings.rebuild(), playing);
            rebuilt.expect("rebuilt");
        } else {
            playing.await;
        }
        for _ in 0..5 {
            let player = *dice.pick(&players);
            if removed.contains_key(&player) {
                continue;
            }
            let is_deleted = dice.below(2) == 0;
            if is_deleted {
                first.server.accounts.delete_player(player, None).await.expect("deleted");
            } else {
                set_banned(&first, player, true).await;
            }
            removed.insert(player, is_deleted);
        }
        let unbanned: Vec<Uuid> = removed
            .iter()
            .filter(|(_, is_deleted)| !**is_deleted)
            .map(|(player, _)| *player)
            .take(2)
            .collect();
        for player in unbanned {
            set_banned(&first, player, false).await;
            removed.remove(&player);
        }
        wait_for_bans_and_deletions(&first).await;
        assert_matches_sql(&first, dice, &format!("round {round}")).await;
        // Some time later all scores are different, and only a rebuild updates all of them.
        world.advance(1000.0);
        rebuild(&first).await;
        wait_for_bans_and_deletions(&first).await;
        assert_matches_sql(&first, dice, &format!("rebuilt after round {round}")).await;
    }
    assert!(!removed.is_empty());
    first.stop().await;
}

async fn boards_stay_complete_during_a_rebuild(world: World) {
    let app = world.start().await;
    let players = add_players(&world, &random_players(&mut Dice::new(7))).await;
    rebuild(&app).await;
    wait_for_bans_and_deletions(&app).await;
    let expected = pages(&app, Board::LifetimeEnergy).await;
    for _ in 0..5 {
        let rebuild = app.server.rankings.rebuild();
        tokio::pin!(rebuild);
        let mut pages_read = 0;
        loop {
            tokio::select! {
                biased;
                rebuilt = &mut rebuild => { rebuilt.expect("rebuilt"); break; }
                () = tokio::time::sleep(Duration::from_millis(1)) => {
                    let offset = pages_read * PAGE % players.len();
                    let list = app.server.rankings.page(Board::LifetimeEnergy, offset, PAGE).await;
                    let list = match list {
                        // Redis may be late on a busy machine. That does not mean that the boards are incomplete.
                        Err(Error::Unavailable(Unavailable::Redis(_))) => continue,
                        list => list.expect("a page"),
                    };
                    assert_eq!(list.total_players, players.len() as u64);
                    assert_eq!(list.entries, expected[offset..offset + PAGE]);
                    pages_read += 1;
                }
            }
        }
        assert!(pages_read > 0, "no page was read during the rebuild");
    }
}

async fn scores_published_during_a_rebuild_are_kept(world: World) {
    let dice = &mut Dice::new(8);
    world.advance(6.0 * 86_400.0);
    let app = world.start().await;
    let players = add_players(&world, &random_players(dice)).await;
    rebuild(&app).await;
    wait_for_bans_and_deletions(&app).await;
    let chosen: Vec<Uuid> = (0..150).map(|_| *dice.pick(&players)).collect();
    let playing = AtomicBool::new(true);
    let play = async {
        for player in chosen {
            perform(&app, player, Command::Act(Action::Click { clicks: 1 })).await;
            app.server.rankings.publish().await.expect("published");
        }
        playing.store(false, Ordering::Relaxed);
    };
    // The last rebuild ends after the last click was published.
    let rebuilding = async {
        let mut rebuilds = 0;
        while playing.load(Ordering::Relaxed) {
            let rebuilt = app.server.rankings.rebuild().await.expect("rebuilt");
            rebuilds += usize::from(rebuilt.is_some());
        }
        rebuilds
    };
    let ((), rebuilds) = tokio::join!(play, rebuilding);
    assert!(rebuilds > 0);
    // Nothing is published after the rebuilds.
    assert_matches_sql(&app, dice, "after the rebuilds").await;
}

test_in_process_and_on_redis!(
    scores_published_during_a_rebuild_are_kept,
    every_rank_and_page_matches_sql,
    boards_stay_complete_during_a_rebuild,
);
