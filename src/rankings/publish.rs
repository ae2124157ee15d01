//! Publishing the scores of the players that this instance saw recently.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::board::{Place, Standing};
use super::seen::Collected;
use super::{Destination, Error, Rankings};
use crate::domain::{Timeline, Timestamp};

/// Rows that one query loads.
const LOADED_AT_ONCE: usize = 500;

/// Seconds for which reports of other instances are read and kept.
const NEWS_OVERLAP_SECONDS: f64 = 30.0;
const NEWS_KEPT_SECONDS: f64 = 300.0;

/// How long after the database went back to an earlier state noted rows are read again. A call that began before it has
/// ended by then.
const RECHECKED_FOR: Duration = Duration::from_secs(30);

/// What was published last for each player who is published repeatedly. Unchanged standings are not sent again.
#[derive(Debug, Default)]
pub(super) struct Published {
    places: HashMap<Uuid, (i64, Option<Place>)>,
    /// The boards that were written; `None` before the first publication.
    to: Option<Destination>,
    /// Until when noted rows may belong to the previous era.
    recheck_until: Option<Instant>,
    /// Changes that are not reported to other instances yet.
    unreported: HashSet<Uuid>,
    /// Recent reports of other instances that were applied.
    applied: HashSet<i64>,
}

impl Destination {
    /// Whether the boards belong to another epoch of the database, although nothing was discarded since.
    fn is_of_another_history(&self, before: &Self) -> bool {
        let is_known = self.keys.is_some() && before.keys.is_some();
        is_known && self.keys != before.keys && self.era == before.era
    }
}

impl Rankings {
    /// Publishes the present scores of the players that this instance saw within the last minute, and removes players
    /// who were banned or deleted. Several instances may do so at the same time.
    ///
    /// # Errors
    /// Returns an error if a store is unavailable. The next call publishes what was not published.
    pub async fn publish(&self) -> Result<(), Error> {
        let mut published = self.published.lock().await;
        let (timeline, now) = (self.catalogues.timeline()?, self.clock.now());
        let mut destination = self.destination();
        if published.to.as_ref().is_some_and(|before| destination.is_of_another_history(before)) {
            // The database went back to an earlier state, and the poller has not called this yet. Nothing that was read
            // before may be written to the boards of the new epoch, because its revisions are higher.
            self.forget_all();
            destination = self.destination();
        }
        if published.to.as_ref() != Some(&destination) {
            self.start_over(&mut published, &destination, now);
        }
        let to_shared = destination.keys.is_some();
        let is_rechecked = published.recheck_until.is_some_and(|until| Instant::now() < until);
        let Collected { mut records, news, active } = self.seen.collect(now, !is_rechecked);
        if is_rechecked {
            self.reload_later(records.drain(..).map(|record| record.id));
        }
        self.metrics.seen_in_a_minute.set(active[0]);
        self.metrics.seen_in_five_minutes.set(active[1]);
        published.unreported.extend(news);
        // Through Redis the other instances see it anyway, and without other instances there is nothing to report.
        let exchanged = if to_shared || self.alone {
            published.unreported.clear();
            Ok(())
        } else {
            self.exchange_news(&mut published, now).await
        };
        let again = mem::take(&mut *self.to_reload.lock().unwrap_or_else(PoisonError::into_inner));
        let (looked_at, fault) = match self.reload(&again, &timeline, now).await {
            Ok(standings) => (standings, exchanged.err()),
            Err(fault) => {
                self.reload_later(again.iter().copied());
                (Vec::new(), Some(fault))
            }
        };
        let mut standings = HashMap::new();
        let seen = records.into_iter().map(|record| Standing::of(&record, &timeline, now));
        for standing in looked_at.into_iter().chain(seen) {
            let known: &mut Standing =
                standings.entry(standing.player).or_insert_with(|| standing.clone());
            if standing.stamp > known.stamp {
                *known = standing;
            }
        }
        let mut places = HashMap::with_capacity(standings.len());
        let mut changed = Vec::with_capacity(standings.len());
        for standing in standings.into_values() {
            let place = (standing.stamp.revision, standing.place.clone());
            if published.places.get(&standing.player) != Some(&place) {
                changed.push(standing.clone());
            }
            places.insert(standing.player, place);
        }
        published.places.clear();
        let written = self.write(&destination, now, &changed).await;
        let status = written.inspect_err(|_| self.reload_later(again.iter().copied()))?;
        published.places = places;
        if self.is_due(status, now) {
            self.wanted.notify_one();
        }
        if to_shared && self.local.status().rebuilt.is_some() {
            // Redis is available again, so the boards in memory that replaced it are not needed any more.
            self.local.clear();
        }
        fault.map_or(Ok(()), Err)
    }

    /// Forgets what was published last, because other boards do not have it.
    fn start_over(&self, published: &mut Published, to: &Destination, now: Timestamp) {
        let before = published.to.take();
        if to.keys.is_some() && before.as_ref().is_some_and(|before| before.keys.is_none()) {
            // Redis is available again and lacks what was published while it was not.
            self.rebuild_since(now);
        }
        let recheck_until = if before.map_or(0, |before| before.era) == to.era {
            published.recheck_until
        } else {
            Some(Instant::now() + RECHECKED_FOR)
        };
        *published = Published {
            to: Some(to.clone()),
            recheck_until,
            unreported: mem::take(&mut published.unreported),
            ..Published::default()
        };
    }

    /// Reports the rows that this instance has changed to the other instances, and reads their reports, through
    /// Postgres. Reports are read repeatedly for a while, because of two concurrent reports the later one may become
    /// visible first.
    async fn exchange_news(&self, published: &mut Published, now: Timestamp) -> Result<(), Error> {
        if !published.unreported.is_empty() {
            let news: Vec<Uuid> = published.unreported.iter().copied().collect();
            let forgotten = now.plus_seconds(-NEWS_KEPT_SECONDS);
            self.store.report_ranking_news(self.instance, &news, now, forgotten).await?;
            published.unreported.clear();
        }
        let since = now.plus_seconds(-NEWS_OVERLAP_SECONDS);
        let reports = self.store.ranking_news(self.instance, since).await?;
        for (number, players) in &reports {
            if !published.applied.contains(number) {
                self.reload_later(players.iter().copied());
            }
        }
        published.applied = reports.into_iter().map(|(number, _)| number).collect();
        Ok(())
    }

    /// The standings of players whose row must be read again.
    async fn reload(
        &self,
        players: &HashSet<Uuid>,
        timeline: &Timeline,
        now: Timestamp,
    ) -> Result<Vec<Standing>, Error> {
        let players: Vec<Uuid> = players.iter().copied().collect();
        let mut standings = Vec::with_capacity(players.len());
        for chunk in players.chunks(LOADED_AT_ONCE) {
            let records = self.store.load_players(chunk).await?;
            let mut missing: HashSet<Uuid> = chunk.iter().copied().collect();
            for record in records.into_iter().map(Arc::new) {
                missing.remove(&record.id);
                standings.push(Standing::of(&record, timeline, now));
                self.seen.note_reported(&record);
            }
            standings.extend(missing.into_iter().map(|player| Standing::deleted(player, now)));
        }
        Ok(standings)
    }
}
