//! Settling players who were absent for a while, so that their rows are never far out of date.
//!
//! Each statement is a transaction of its own that also stores the sweep's progress, so a worker that crashes or
//! freezes never holds a row lock. It skips locked rows. The session's time limit (25 ms) ends a statement that would
//! keep a player waiting; the next statement then takes half as many players.
//!
//! SQL settles rows whose rate has been constant since they were settled. Rows of another version of the catalogue, or
//! with a rate so small that Postgres refuses to multiply, are settled by `Player::settle` and written by their
//! revision. A property test compares the two for the whole range of doubles. `last_seen_at` stays, and `settled_at`
//! does not exceed `accrues_until`: an absence is worth the cap however often it is swept.

use serde_json::json;
use uuid::Uuid;

use super::work::{After, Error, Finished, Work};
use crate::domain::Timeline;
use crate::store;
use crate::store::players::PlayerRecord;
use crate::store::sweep::{AbsentPlayer, SettledPlayer, SweepTime};

/// Seconds after which an absent player is settled.
const ABSENT_AFTER_SECONDS: f64 = 600.0;
/// Players that one query finds.
const LOOKED_UP: i64 = 5_000;
/// Players that one statement settles at most.
const MOST_AT_ONCE: usize = 500;
/// Failures in a row of statements of the smallest size, after which the attempt is given up.
const MOST_FAILURES: u32 = 20;

/// Settles every player who was not seen for ten minutes and whose row contains less energy than the formula gives.
pub(super) async fn sweep(work: Work) -> Result<Finished, Error> {
    let mut after = work.progress::<After>()?.map_or(Uuid::nil(), |it| it.after);
    let mut pace = Pace { at_once: MOST_AT_ONCE, failures: 0 };
    loop {
        let (timeline, now) = work.parts.catalogues.confirmed_timeline()?;
        let time = SweepTime {
            now,
            unseen_since: now.plus_seconds(-ABSENT_AFTER_SECONDS),
            catalogue_version: timeline.at(now).version,
        };
        let found = work.store().find_absent(after, &time, LOOKED_UP).await?;
        if found.is_empty() {
            return work.finish(work.begin().await?).await;
        }
        let mut rest = found.as_slice();
        while let Some((players, later)) = rest.split_at_checked(pace.at_once.min(rest.len()))
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

/// How many players one statement settles: half as many after a statement that took too long, slowly more otherwise.
struct Pace {
    at_once: usize,
    failures: u32,
}

impl Pace {
    fn speed_up(&mut self) {
        self.failures = 0;
        self.at_once = (self.at_once + self.at_once / 8 + 1).min(MOST_AT_ONCE);
    }

    fn slow_down(&mut self, error: store::Error) -> Result<(), Error> {
        use store::Error as Fault;
        let too_many =
            matches!(error, Fault::OutOfTime(_) | Fault::Locked(_) | Fault::Contention(_));
        self.failures += 1;
        if !too_many || self.failures > MOST_FAILURES {
            return Err(error.into());
        }
        self.at_once = (self.at_once / 2).max(1);
        Ok(())
    }
}

/// Settles some players. The sweep has progressed from `before` to the last of them afterwards.
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
        // The rules settle these players: the catalogue changed or a season ended since their last settle, or their
        // production is too small for Postgres to multiply.
        let records = work.store().load_players(&others).await?;
        let absent = records.into_iter().filter(|it| it.player.last_seen_at < time.unseen_since);
        let settled: Vec<_> = absent.map(|record| by_the_rules(record, timeline, time)).collect();
        let noted = json!(After { after: before });
        let held = work.sweep_store.settle_folded(work.lease(), &noted, &settled).await?;
        held.ok_or(Error::LeaseLost)?;
    }
    let noted = json!(After { after: players.last().map_or(before, |last| last.id) });
    let held = work.sweep_store.settle_plain(work.lease(), &noted, &plain, time).await?;
    held.ok_or(Error::LeaseLost).map(drop)
}

fn by_the_rules(mut record: PlayerRecord, timeline: &Timeline, time: &SweepTime) -> SettledPlayer {
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
