//! Streams: ordered lists of events.
//!
//! A stream numbers its events 1, 2, 3 by a counter in its row. A transaction that appends locks that row first and
//! keeps it locked until its commit, so the numbers are in the order of commit and have no gaps: a transaction that is
//! rolled back takes back its numbers, and none can commit after a later one. What decides whether an event is appended
//! (for example, whether a player exists or has muted a type) must be read by a statement after the lock, because a
//! statement that waits for a lock keeps its old snapshot.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use super::error::Error;
use super::pool::{Store, Transaction};
use super::ring::Ring;
use crate::domain::Timestamp;

/// The ring of events. An event can be read for at least an hour.
pub const RING: Ring =
    Ring { table: "stream_events", first_slot: 0, slots: 5, period: Duration::from_mins(20) };

const HEADS: &str = include_str!("../../sql/queries/streams/heads.sql");

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub stream: String,
    pub sequence: i64,
    pub at: Timestamp,
    pub kind: String,
    /// The server's own id of the call that caused the event.
    pub request: Option<Uuid>,
    /// JSON that refers to rows and copies no texts of them.
    pub data: String,
}

/// A part of a stream: the events above a first sequence, up to a last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub stream: String,
    pub above: i64,
    pub through: i64,
}

/// Streams that a transaction has locked, and the events that it is going to append to them.
#[derive(Debug)]
pub struct LockedStreams {
    /// The heads that were read, and the heads after the events.
    heads: BTreeMap<String, (i64, i64)>,
    events: Vec<Event>,
}

impl LockedStreams {
    /// Adds an event at the end of its stream, and returns its sequence.
    ///
    /// # Errors
    /// Returns [`Error::Corrupt`] if the stream is not locked.
    pub fn add(
        &mut self,
        stream: &str,
        kind: &str,
        at: Timestamp,
        request: Option<Uuid>,
        data: String,
    ) -> Result<i64, Error> {
        let sequence = self.claim(stream)?;
        let event =
            Event { stream: stream.to_owned(), sequence, at, kind: kind.to_owned(), request, data };
        self.events.push(event);
        Ok(sequence)
    }

    fn claim(&mut self, stream: &str) -> Result<i64, Error> {
        let missing = || Error::Corrupt(format!("the stream {stream} is not locked"));
        let (_, head) = self.heads.get_mut(stream).ok_or_else(missing)?;
        *head += 1;
        Ok(*head)
    }

    /// The call that caused the first event that was added, if a call did.
    pub fn request(&self) -> Option<Uuid> {
        self.events.first().and_then(|event| event.request)
    }

    /// The types of the events that were added.
    pub fn kinds(&self) -> Vec<String> {
        self.events.iter().map(|event| event.kind.clone()).collect()
    }

    /// The sequence of the last event of a stream, including those that were added.
    pub fn head(&self, stream: &str) -> i64 {
        self.heads.get(stream).map_or(0, |&(_, head)| head)
    }
}

impl Store {
    /// The heads of streams, in the same order; 0 for streams without events.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn stream_heads(&self, streams: &[&str]) -> Result<Vec<i64>, Error> {
        let rows = self.query(HEADS, &[&streams]).await?;
        let mut heads = BTreeMap::new();
        for row in &rows {
            heads.insert(row.try_get::<_, String>("stream")?, row.try_get("head")?);
        }
        Ok(streams.iter().map(|&stream| heads.get(stream).copied().unwrap_or(0)).collect())
    }

    /// The events of parts of streams that are still stored, by stream and sequence.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn read_events(&self, ranges: &[Range]) -> Result<Vec<Event>, Error> {
        let streams: Vec<_> = ranges.iter().map(|range| range.stream.as_str()).collect();
        let above: Vec<_> = ranges.iter().map(|range| range.above).collect();
        let through: Vec<_> = ranges.iter().map(|range| range.through).collect();
        let sql = include_str!("../../sql/queries/streams/read.sql");
        let rows = self.query(sql, &[&streams, &above, &through]).await?;
        rows.iter().map(decode).collect()
    }
}

impl Transaction {
    /// Locks streams until the end of the transaction, in the order of their names, and creates those that do not
    /// exist.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn lock_streams(&mut self, mut streams: Vec<String>) -> Result<LockedStreams, Error> {
        streams.sort_unstable();
        streams.dedup();
        let create = include_str!("../../sql/queries/streams/create.sql");
        self.execute(create, &[&streams]).await?;
        let lock = include_str!("../../sql/queries/streams/lock.sql");
        let mut heads = BTreeMap::new();
        for row in self.query(lock, &[&streams]).await? {
            let head = row.try_get("head")?;
            heads.insert(row.try_get("stream")?, (head, head));
        }
        Ok(LockedStreams { heads, events: Vec::new() })
    }

    /// The head of a stream; 0 if it has no events.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn stream_head(&mut self, stream: &str) -> Result<i64, Error> {
        let rows = self.query(HEADS, &[&[stream].as_slice()]).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.try_get("head"))?)
    }

    /// Appends the events that were added to locked streams. Returns the new heads of the streams that have new events,
    /// to be announced after the commit.
    ///
    /// # Errors
    /// Returns [`Error::Contention`] if a head has changed, which a lock prevents, otherwise the error of the
    /// statement.
    pub async fn append_events(
        &mut self,
        locked: LockedStreams,
    ) -> Result<Vec<(String, i64)>, Error> {
        let LockedStreams { heads, events } = locked;
        let moved: Vec<_> =
            heads.into_iter().filter(|(_, (before, after))| before != after).collect();
        if moved.is_empty() {
            return Ok(Vec::new());
        }
        let streams: Vec<_> = moved.iter().map(|(stream, _)| stream.as_str()).collect();
        let before: Vec<_> = moved.iter().map(|&(_, (before, _))| before).collect();
        let after: Vec<_> = moved.iter().map(|&(_, (_, after))| after).collect();
        let slots: Vec<_> = events.iter().map(|event| RING.slot_at(event.at)).collect();
        let of: Vec<_> = events.iter().map(|event| event.stream.as_str()).collect();
        let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
        let at: Vec<_> = events.iter().map(|event| event.at).collect();
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        let requests: Vec<_> = events.iter().map(|event| event.request).collect();
        let data: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
        let sql = include_str!("../../sql/queries/streams/append.sql");
        let rows = self
            .query(
                sql,
                &[
                    &streams, &before, &after, &slots, &of, &sequences, &at, &kinds, &requests,
                    &data,
                ],
            )
            .await?;
        let written: i64 = rows.first().map_or(Ok(0), |row| row.try_get("moved"))?;
        if written.unsigned_abs() != moved.len() as u64 {
            return Err(Error::Contention("the head of a stream has changed".into()));
        }
        Ok(moved.into_iter().map(|(stream, (_, after))| (stream, after)).collect())
    }
}

fn decode(row: &Row) -> Result<Event, Error> {
    Ok(Event {
        stream: row.try_get("stream")?,
        sequence: row.try_get("sequence")?,
        at: row.try_get("at")?,
        kind: row.try_get("type")?,
        request: row.try_get("request_id")?,
        data: row.try_get("data")?,
    })
}
