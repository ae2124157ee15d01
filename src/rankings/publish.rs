//! Publishes the scores of the players that this instance saw recently.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::board::{Place, Standing};
use super::seen::Collected;
use super::{Destination, Error, Rankings};
use crate::domain::{Timeline, Timestamp};

/// The number of rows that one query loads.
const LOAD_BATCH: usize = 500;

/// Reports of other instances are read repeatedly for the first number of seconds, and deleted after the second.
const NEWS_OVERLAP_SECONDS: f64 = 30.0;
const NEWS_KEPT_SECONDS: f64 = 300.0;

/// How long after a revert of the database to an earlier state recorded rows are read again. Requests that started
/// before the revert have ended by then.
const RECHECK_DURATION: Duration = Duration::from_secs(30);

/// The last publication, with the standing of each player in it. Unchanged standings are not sent again.
#[derive(Debug, Default)]
pub(super) struct Published {
    places: HashMap<Uuid, (i64, Option<Place>)>,
    /// The boards to which it was written; `None` before the first publication.
    destination: Option<Destination>,
    /// Until when recorded rows may belong to the previous era.
    recheck_until: Option<Instant>,
    /// Changed players that were not reported to other instances yet.
    unreported: HashSet<Uuid>,
    /// The numbers of recent reports of other instances that were applied.
    applied: HashSet<i64>,
}

impl Destination {
    /// Whether the boards belong to another epoch of the database, but no new era was started yet.
    fn is_of_another_epoch(&self, before: &Self) -> bool {
        let is_known = self.keys.is_some() && before.keys.is_some();
        is_known && self.keys != before.keys && self.era == before.era
    }
}

impl Rankings {
    /// Publishes the current scores of the players that this instance saw within the last minute, and removes players
    /// who were banned or deleted. Several instances may call this at the same time.
    ///
    /// # Errors
    /// Returns an error if a store is unavailable. The next call publishes the remaining standings.
    pub async fn publish(&self) -> Result<(), Error> {
        let mut published = self.published.lock().await;
        let (timeline, now) = (self.catalogues.timeline()?, self.clock.now());
        let mut destination = self.destination();
        if published
            .destination
            .as_ref()
            .is_some_and(|before| destination.is_of_another_epoch(before))
        {
            // The database was reverted to an earlier state, and the poller has not called `forget_all` yet. Rows that
            // were read before must not be written to the boards of the new epoch, because their revisions are higher.
            self.forget_all();
            destination = self.destination();
        }
        if published.destination.as_ref() != Some(&destination) {
            self.reset_published(&mut published, &destination, now);
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
        // No reports are needed if the boards are shared through Redis or if there are no other instances.
        let exchanged = if to_shared || self.alone {
            published.unreported.clear();
            Ok(())
        } else {
            self.exchange_news(&mut published, now).await
        };
        let to_reload =
            mem::take(&mut *self.to_reload.lock().unwrap_or_else(PoisonError::into_inner));
        let (reloaded, fault) = match self.reload(&to_reload, &timeline, now).await {
            Ok(standings) => (standings, exchanged.err()),
            Err(fault) => {
                self.reload_later(to_reload.iter().copied());
                (Vec::new(), Some(fault))
            }
        };
        let mut standings = HashMap::new();
        let seen = records.into_iter().map(|record| Standing::of(&record, &timeline, now));
        for standing in reloaded.into_iter().chain(seen) {
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
        let status = written.inspect_err(|_| self.reload_later(to_reload.iter().copied()))?;
        published.places = places;
        if self.is_due(status, now) {
            self.wanted.notify_one();
        }
        if to_shared && self.local.status().rebuilt.is_some() {
            // Redis is available again, so the boards in memory are no longer needed.
            self.local.clear();
        }
        fault.map_or(Ok(()), Err)
    }

    /// Forgets the last publication, because the new destination does not contain it.
    fn reset_published(
        &self,
        published: &mut Published,
        destination: &Destination,
        now: Timestamp,
    ) {
        let before = published.destination.take();
        if destination.keys.is_some() && before.as_ref().is_some_and(|before| before.keys.is_none())
        {
            // Redis is available again and lacks the standings that were published during the outage.
            self.rebuild_since(now);
        }
        let recheck_until = if before.map_or(0, |before| before.era) == destination.era {
            published.recheck_until
        } else {
            Some(Instant::now() + RECHECK_DURATION)
        };
        *published = Published {
            destination: Some(destination.clone()),
            recheck_until,
            unreported: mem::take(&mut published.unreported),
            ..Published::default()
        };
    }

    /// Through Postgres, reports the players that this instance has changed to the other instances, and reads their
    /// reports. Reports are read repeatedly for a while, because a report with an earlier time may become visible
    /// later.
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

    /// Reads the rows of these players again and returns their standings.
    async fn reload(
        &self,
        players: &HashSet<Uuid>,
        timeline: &Timeline,
        now: Timestamp,
    ) -> Result<Vec<Standing>, Error> {
        let players: Vec<Uuid> = players.iter().copied().collect();
        let mut standings = Vec::with_capacity(players.len());
        for chunk in players.chunks(LOAD_BATCH) {
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
