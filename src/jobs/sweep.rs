//! The sweep: settles players who have been absent for a while, so that their rows do not get far out of date. Settling
//! a player writes the energy that was produced since the last write into the row.
//!
//! Each statement is its own transaction, which also stores the sweep's progress, so that a worker that crashes or
//! freezes never holds a row lock. Locked rows are skipped. The session's statement timeout (25 ms) cancels a statement
//! that would make a player wait; the next statement then settles half as many players.
//!
//! SQL settles rows whose production rate has been constant since they were last settled. Rows of another catalogue
//! version, and rows with a rate so small that Postgres refuses the multiplication, are settled by `Player::settle` and
//! written with a revision check. A property test compares both ways for the whole range of doubles. `last_seen_at` is
//! not changed, and `settled_at` never exceeds `accrues_until`, so the offline cap applies to an absence however often
//! the player is swept.

use serde_json::json;
use uuid::Uuid;

use super::work::{Cursor, Error, Finished, Work};
use crate::domain::Timeline;
use crate::store;
use crate::store::players::PlayerRecord;
use crate::store::sweep::{AbsentPlayer, SettledPlayer, SweepTime};

/// Seconds after which an absent player is settled.
const ABSENT_AFTER_SECONDS: f64 = 600.0;
/// The maximum number of players that one query finds.
const QUERY_LIMIT: i64 = 5_000;
/// The maximum number of players that one statement settles.
const MAX_BATCH: usize = 500;
/// The attempt fails after more than this many consecutive failures of statements.
const MAX_FAILURES: u32 = 20;

/// Settles every player who was not seen for ten minutes and has produced energy that the row does not contain yet.
pub(super) async fn sweep(work: Work) -> Result<Finished, Error> {
    let mut after = work.progress::<Cursor>()?.map_or(Uuid::nil(), |it| it.after);
    let mut pace = Pace { batch_size: MAX_BATCH, failures: 0 };
    loop {
        let (timeline, now) = work.parts.catalogues.confirmed_timeline()?;
        let time = SweepTime {
            now,
            unseen_since: now.plus_seconds(-ABSENT_AFTER_SECONDS),
            catalogue_version: timeline.at(now).version,
        };
        let found = work.store().find_absent(after, &time, QUERY_LIMIT).await?;
        if found.is_empty() {
            return work.finish(work.begin().await?).await;
        }
        let mut rest = found.as_slice();
        while let Some((players, later)) = rest.split_at_checked(pace.batch_size.min(rest.len()))
            && let Some(last) = players.last()
        {
            if work.is_stopping() {
                return work.hand_back().await;
            }
            match settle(&work, &timeline, &time, after, players).await {
                Ok(()) => {
                    pace.speed_up();
                    (rest, after) = (later, last.id);
                }
                Err(Error::Store(error)) => pace.slow_down(error)?,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Adapts the number of players in one statement: it is halved after a timeout and grows slowly after each success.
struct Pace {
    batch_size: usize,
    failures: u32,
}

impl Pace {
    fn speed_up(&mut self) {
        self.failures = 0;
        self.batch_size = (self.batch_size + self.batch_size / 8 + 1).min(MAX_BATCH);
    }

    fn slow_down(&mut self, error: store::Error) -> Result<(), Error> {
        use store::Error as Fault;
        let too_many =
            matches!(error, Fault::OutOfTime(_) | Fault::Locked(_) | Fault::Contention(_));
        self.failures += 1;
        if !too_many || self.failures > MAX_FAILURES {
            return Err(error.into());
        }
        self.batch_size = (self.batch_size / 2).max(1);
        Ok(())
    }
}

/// Settles `players`, which follow the player `before`, and stores the last of them as the sweep's progress.
async fn settle(
    work: &Work,
    timeline: &Timeline,
    time: &SweepTime,
    before: Uuid,
    players: &[AbsentPlayer],
) -> Result<(), Error> {
    let ids = |plain: bool| {
        players.iter().filter(|it| it.plain == plain).map(|it| it.id).collect::<Vec<_>>()
    };
    let (plain, others) = (ids(true), ids(false));
    if !others.is_empty() {
        // SQL cannot settle these players: the catalogue changed or a season ended since they were last settled, or
        // their production rate is too small for a multiplication in Postgres.
        let records = work.store().load_players(&others).await?;
        let absent = records.into_iter().filter(|it| it.player.last_seen_at < time.unseen_since);
        let settled: Vec<_> = absent.map(|record| settle_record(record, timeline, time)).collect();
        let progress = json!(Cursor { after: before });
        let result = work.sweep_store.settle_folded(work.lease(), &progress, &settled).await?;
        result.ok_or(Error::LeaseLost)?;
    }
    let progress = json!(Cursor { after: players.last().map_or(before, |last| last.id) });
    let result = work.sweep_store.settle_plain(work.lease(), &progress, &plain, time).await?;
    result.ok_or(Error::LeaseLost).map(drop)
}

fn settle_record(mut record: PlayerRecord, timeline: &Timeline, time: &SweepTime) -> SettledPlayer {
    let player = &mut record.player;
    let before = player.clone();
    player.settle(timeline, time.now);
    let finished = before.finished_seasons(timeline, player.season).collect();
    record.catalogue_version = timeline.at(player.settled_at).version;
    let production = player.production(timeline, player.settled_at);
    SettledPlayer {
        energy_per_second: production.energy_per_second,
        accrues_until: player.accrues_until(&production),
        finished,
        record,
    }
}
