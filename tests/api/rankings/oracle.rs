//! Every rank and page, compared with a ranking in SQL.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use idlewatt::clock::Clock;
use idlewatt::domain::{Action, Command};
use idlewatt::rankings::{Board, Entry, Error, List, Unavailable};
use uuid::Uuid;

use super::{add_players, on_both_forms, perform, rebuild};
use crate::support::books::{Dice, eventually};
use crate::support::{TestApp, World};

const PLAYERS: usize = 3000;
const PAGE: usize = 100;

/// A whole board, with the formula calculated by Postgres.
async fn oracle(world: &World, board: Board) -> Vec<Entry> {
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

/// A page. If Redis is late, asks again.
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

/// Compares every page of every board, and some neighbourhoods, with the oracle.
async fn assert_ranked(app: &TestApp, dice: &mut Dice, what: &str) {
    for board in Board::ALL {
        let (expected, actual) = (oracle(&app.world, board).await, pages(app, board).await);
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

/// Publishes until bans and deletions are applied, which the instance reads within a second.
async fn settle(app: &TestApp) {
    let sql = "select player_id::text from players where banned_at is null";
    let rows = app.world.connect().await.query(sql, &[]).await.expect("players");
    let expected: BTreeSet<Uuid> =
        rows.iter().map(|row| row.get::<_, String>(0).parse().expect("an id")).collect();
    eventually("the boards hold who they should", async || {
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

/// Few different energies and cranks, so that there are many ties; some at the ends of the range.
fn random_players(dice: &mut Dice) -> Vec<(f64, i64, f64)> {
    let energies = [0.0, 0.0, 1.0, 2.5, 1e3, 1e3, 1e6, 1e15, 1e300, 1e-9];
    let player = |_| {
        let ago = [0.0, 60.0, 3600.0, 40_000.0, 400_000.0];
        (*dice.pick(&energies), *dice.pick(&[0, 1, 2, 3]), *dice.pick(&ago))
    };
    (0..PLAYERS).map(player).collect()
}

async fn every_rank_and_page_is_that_of_the_formula(world: World) {
    let dice = &mut Dice::new(6);
    // The middle of a week, so that all who were seen recently are in the same season.
    world.advance(6.0 * 86_400.0);
    let first = world.start().await;
    let players = add_players(&world, &random_players(dice)).await;
    rebuild(&first).await;
    settle(&first).await;
    assert_ranked(&first, dice, "rebuilt").await;
    let mut gone: HashMap<Uuid, bool> = HashMap::new();
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
        let commands: Vec<_> = commands.filter(|(player, _)| !gone.contains_key(player)).collect();
        let played =
            join_all(commands.into_iter().map(|(it, command)| perform(&first, it, command)));
        if round % 2 == 0 {
            // What changes during a rebuild is neither lost nor overwritten.
            let (rebuilt, _) = tokio::join!(first.server.rankings.rebuild(), played);
            rebuilt.expect("rebuilt");
        } else {
            played.await;
        }
        for _ in 0..5 {
            let player = *dice.pick(&players);
            if gone.contains_key(&player) {
                continue;
            }
            let for_good = dice.below(2) == 0;
            if for_good {
                first.server.accounts.delete_player(player, None).await.expect("deleted");
            } else {
                set_banned(&first, player, true).await;
            }
            gone.insert(player, for_good);
        }
        let back: Vec<Uuid> = gone
            .iter()
            .filter(|(_, for_good)| !**for_good)
            .map(|(player, _)| *player)
            .take(2)
            .collect();
        for player in back {
            set_banned(&first, player, false).await;
            gone.remove(&player);
        }
        settle(&first).await;
        assert_ranked(&first, dice, &format!("round {round}")).await;
        // Somewhat later all scores differ, and a rebuild has them all.
        world.advance(1000.0);
        rebuild(&first).await;
        settle(&first).await;
        assert_ranked(&first, dice, &format!("rebuilt after round {round}")).await;
    }
    assert!(!gone.is_empty());
    first.stop().await;
}

async fn boards_are_whole_at_every_moment_of_a_rebuild(world: World) {
    let app = world.start().await;
    let players = add_players(&world, &random_players(&mut Dice::new(7))).await;
    rebuild(&app).await;
    settle(&app).await;
    let expected = pages(&app, Board::LifetimeEnergy).await;
    for _ in 0..5 {
        let rebuild = app.server.rankings.rebuild();
        tokio::pin!(rebuild);
        let mut looked = 0;
        loop {
            tokio::select! {
                biased;
                rebuilt = &mut rebuild => { rebuilt.expect("rebuilt"); break; }
                () = tokio::time::sleep(Duration::from_millis(1)) => {
                    let offset = looked * PAGE % players.len();
                    let list = app.server.rankings.page(Board::LifetimeEnergy, offset, PAGE).await;
                    let list = match list {
                        // Late because the machine is busy; that is not a gap.
                        Err(Error::Unavailable(Unavailable::Redis(_))) => continue,
                        list => list.expect("a page"),
                    };
                    assert_eq!(list.total_players, players.len() as u64);
                    assert_eq!(list.entries, expected[offset..offset + PAGE]);
                    looked += 1;
                }
            }
        }
        assert!(looked > 0, "the rebuild is over before anybody looks");
    }
}

async fn nothing_that_is_published_during_a_rebuild_is_lost(world: World) {
    let dice = &mut Dice::new(8);
    world.advance(6.0 * 86_400.0);
    let app = world.start().await;
    let players = add_players(&world, &random_players(dice)).await;
    rebuild(&app).await;
    settle(&app).await;
    let chosen: Vec<Uuid> = (0..150).map(|_| *dice.pick(&players)).collect();
    let playing = AtomicBool::new(true);
    let play = async {
        for player in chosen {
            perform(&app, player, Command::Act(Action::Click { clicks: 1 })).await;
            app.server.rankings.publish().await.expect("published");
        }
        playing.store(false, Ordering::Relaxed);
    };
    // The last one ends after the last click was published.
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
    // Nobody publishes anything again.
    assert_ranked(&app, dice, "after the rebuilds").await;
}

on_both_forms!(
    nothing_that_is_published_during_a_rebuild_is_lost,
    every_rank_and_page_is_that_of_the_formula,
    boards_are_whole_at_every_moment_of_a_rebuild,
);
