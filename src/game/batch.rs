//! Requests that are written together, by player.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::Span;
use uuid::Uuid;

use super::Error;
use super::answers::Reply;
use super::fold::Remembered;
use super::request::{Answer, Request};
use crate::store::idempotency::Record;
use crate::telemetry::spans;

/// A request, and whom to tell what came of it.
pub(super) struct Envelope {
    pub(super) request: Request,
    /// Taken when it is answered.
    reply: Option<Reply>,
    /// The request's span.
    span: Span,
    /// Attempts that came to nothing.
    attempts: usize,
    /// Only a kept row of a higher revision is trusted: this one is known to be out of date.
    outdated: i64,
    /// For how long it may wait for a lock, once it has to.
    waits_until: Option<Instant>,
}

impl Envelope {
    /// A request, and where its answer will come.
    pub(super) fn new(request: Request) -> (Self, oneshot::Receiver<Result<Answer, Error>>) {
        let (reply, answer) = Reply::new();
        let envelope = Self {
            request,
            reply: Some(reply),
            span: Span::current(),
            attempts: 0,
            outdated: NONE_OUTDATED,
            waits_until: None,
        };
        (envelope, answer)
    }

    pub(super) fn player(&self) -> Uuid {
        self.request.player
    }

    /// It waits for a lock, until `end` unless it has waited before.
    pub(super) fn wait_until(&mut self, end: Instant) {
        self.waits_until.get_or_insert(end);
    }

    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.waits_until
    }

    /// Whether it has waited for a lock for as long as it may.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.waits_until.is_some_and(|end| end <= now)
    }

    pub(super) fn answer(&mut self, answer: Result<Answer, Error>) {
        if let Some(reply) = self.reply.take() {
            reply.send(answer);
        }
    }
}

/// What [`Envelope::outdated`] is as long as nothing is known.
const NONE_OUTDATED: i64 = i64::MIN;
/// What it is where no kept row will do.
pub(super) const ALL_OUTDATED: i64 = i64::MAX;

/// Requests by player, each player's in the order in which they came. The order of players is that of locking.
pub(super) struct Batch {
    envelopes: Vec<Envelope>,
    /// Whose envelope is where.
    places: Vec<(Uuid, usize)>,
}

/// One player's part of a batch.
pub(super) struct Turn<'a> {
    pub(super) player: Uuid,
    places: &'a [(Uuid, usize)],
    envelopes: &'a [Envelope],
}

impl<'a> Turn<'a> {
    /// The player's requests in their order.
    pub(super) fn requests(&self) -> impl Iterator<Item = &'a Request> + use<'a> {
        let envelopes = self.envelopes;
        let places = self.places;
        places.iter().filter_map(move |&(_, place)| Some(&envelopes.get(place)?.request))
    }

    /// The keys of those requests that have one, by their hash.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.requests().filter_map(|request| Some(request.key.as_ref()?.key_hash.as_slice()))
    }

    /// Whether any of it was tried in vain.
    pub(super) fn was_tried(&self) -> bool {
        self.places.iter().any(|&(_, place)| self.envelopes[place].attempts > 0)
    }

    /// Whether a kept row of that revision may be the present one.
    pub(super) fn trusts(&self, revision: i64) -> bool {
        self.places.iter().all(|&(_, place)| revision > self.envelopes[place].outdated)
    }
}

/// What has become of a player's part of a batch.
pub(super) enum Settled {
    /// An answer for each request.
    Done(Vec<Result<Answer, Error>>),
    /// All of it is refused.
    Refused(Error),
    /// It has to be tried again, and not from a kept row of that revision or a lower one.
    Again { outdated: i64 },
}

impl Batch {
    pub(super) fn new(envelopes: Vec<Envelope>) -> Self {
        let players = envelopes.iter().map(|envelope| envelope.request.player);
        let mut places: Vec<_> = players.zip(0..).collect();
        places.sort_unstable();
        Self { envelopes, places }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.envelopes.is_empty()
    }

    /// The parts of the batch, in the order of players.
    pub(super) fn turns(&self) -> impl Iterator<Item = Turn<'_>> {
        by_player(&self.places).filter_map(|places| {
            let &(player, _) = places.first()?;
            Some(Turn { player, places, envelopes: &self.envelopes })
        })
    }

    /// The players, in their order.
    pub(super) fn players(&self) -> impl Iterator<Item = Uuid> {
        self.turns().map(|turn| turn.player)
    }

    /// The requests that are left, each player's in their order.
    pub(super) fn into_envelopes(self) -> Vec<Envelope> {
        self.envelopes
    }

    /// The batch without the players of whom a request was tried so often, and the batch of those.
    pub(super) fn without_contended(self, attempts: usize) -> (Self, Self) {
        let contended = |envelope: &&Envelope| envelope.attempts >= attempts;
        let players: HashSet<Uuid> =
            self.envelopes.iter().filter(contended).map(|it| it.request.player).collect();
        self.without(&players)
    }

    /// The batch without some players, and the batch of those.
    pub(super) fn without(mut self, players: &HashSet<Uuid>) -> (Self, Self) {
        if players.is_empty() {
            return (self, Self::new(Vec::new()));
        }
        let theirs = |envelope: &mut Envelope| players.contains(&envelope.request.player);
        let apart = self.envelopes.extract_if(.., theirs).collect();
        (Self::new(self.envelopes), Self::new(apart))
    }

    /// Notes that an attempt came to nothing.
    pub(super) fn tried_in_vain(&mut self) {
        self.envelopes.iter_mut().for_each(|envelope| envelope.attempts += 1);
    }

    /// The batch in two, each with half of the players.
    pub(super) fn halves(self) -> [Self; 2] {
        let half = self.players().count() / 2;
        let first: HashSet<Uuid> = self.players().take(half).collect();
        let (second, first) = self.without(&first);
        [first, second]
    }

    /// Refuses the requests that were tried so often.
    pub(super) fn without_exhausted(self, attempts: usize, error: &Error) -> Self {
        self.refusing(|envelope| envelope.attempts >= attempts, error)
    }

    /// Refuses the requests that have waited for a lock for as long as they may.
    pub(super) fn without_overdue(self, now: Instant, error: &Error) -> Self {
        self.refusing(|envelope| envelope.is_overdue(now), error)
    }

    fn refusing(mut self, concerned: impl Fn(&Envelope) -> bool, error: &Error) -> Self {
        let refused = self.envelopes.extract_if(.., |envelope| concerned(envelope));
        let refused = refused.map(|mut envelope| envelope.answer(Err(error.clone()))).count();
        if refused == 0 { self } else { Self::new(self.envelopes) }
    }

    /// All of it waits for a lock, until `end` unless it has waited before.
    pub(super) fn wait_until(&mut self, end: Instant) {
        self.envelopes.iter_mut().for_each(|envelope| envelope.wait_until(end));
    }

    /// Answers as `settled` says of each player in turn, and keeps those who are to be tried again.
    pub(super) fn answer(&mut self, settled: impl IntoIterator<Item = Settled>) {
        for (places, settled) in by_player(&self.places).zip(settled) {
            let envelopes = places.iter().map(|&(_, place)| place);
            match settled {
                Settled::Again { outdated } => {
                    for place in envelopes {
                        let envelope = &mut self.envelopes[place];
                        envelope.attempts += 1;
                        envelope.outdated = envelope.outdated.max(outdated);
                    }
                }
                Settled::Done(answers) => {
                    for (place, answer) in envelopes.zip(answers) {
                        self.envelopes[place].answer(answer);
                    }
                }
                Settled::Refused(error) => {
                    for place in envelopes {
                        self.envelopes[place].answer(Err(error.clone()));
                    }
                }
            }
        }
        let mut envelopes = std::mem::take(&mut self.envelopes);
        envelopes.retain(|envelope| envelope.reply.is_some());
        *self = Self::new(envelopes);
    }

    /// Answers all that is left with an error.
    pub(super) fn refuse(mut self, error: &Error) {
        for envelope in &mut self.envelopes {
            envelope.answer(Err(error.clone()));
        }
    }

    /// The batch as a collector is told of it: as part of the first request that is sampled, linked to the others.
    pub(super) fn span(&self) -> Span {
        let mut sampled =
            self.envelopes.iter().map(|it| &it.span).filter(|it| spans::is_sampled(it));
        let Some(first) = sampled.next() else { return Span::none() };
        let span = tracing::trace_span!(
            target: "idlewatt::spans",
            parent: first,
            "lane",
            requests = self.envelopes.len(),
        );
        for other in sampled {
            span.follows_from(other);
        }
        span
    }
}

fn by_player(places: &[(Uuid, usize)]) -> impl Iterator<Item = &[(Uuid, usize)]> {
    places.chunk_by(|(one, _), (other, _)| one == other)
}

/// What is remembered of a player, and the revision of its row when that was read.
#[derive(Default)]
pub(super) struct Known {
    pub(super) revision: Option<i64>,
    pub(super) remembered: Remembered,
}

/// Records by player.
pub(super) fn outcomes(records: Vec<Record>) -> HashMap<Uuid, Known> {
    let mut outcomes: HashMap<Uuid, Known> = HashMap::new();
    for record in records {
        if let Ok(key_hash) = record.key_hash.try_into() {
            let of_player = outcomes.entry(record.player_id).or_default();
            of_player.revision = record.revision;
            of_player.remembered.insert(key_hash, (record.request, record.outcome));
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Command;

    fn batch(players: &[u128]) -> Batch {
        let request = |&player| Request::new(Uuid::from_u128(player), Command::Arrive);
        Batch::new(players.iter().map(request).map(|request| Envelope::new(request).0).collect())
    }

    fn players(batch: &Batch) -> Vec<u128> {
        batch.players().map(|player| player.as_u128()).collect()
    }

    fn answered() -> Settled {
        Settled::Done(vec![Err(Error::Banned)])
    }

    #[test]
    fn who_is_tried_again_is_left_and_does_not_trust_what_was_out_of_date() {
        let mut batch = batch(&[2, 1]);
        batch.answer([Settled::Again { outdated: 7 }, answered()]);
        assert_eq!(players(&batch), [1]);
        let trusts = |batch: &Batch, revision| batch.turns().all(|turn| turn.trusts(revision));
        assert!(trusts(&batch, 8) && !trusts(&batch, 7));
        batch.answer([Settled::Again { outdated: ALL_OUTDATED }]);
        assert!(!trusts(&batch, i64::MAX));
        batch.answer([answered()]);
        assert!(batch.is_empty());
    }

    #[test]
    fn all_of_a_contended_player_goes_apart_in_its_order() {
        let mut first = batch(&[1, 2]);
        first.answer([Settled::Again { outdated: 1 }, answered()]);
        first.tried_in_vain();
        let mut envelopes = first.into_envelopes();
        envelopes.extend(batch(&[2, 1, 3]).into_envelopes());
        let (rest, contended) = Batch::new(envelopes).without_contended(2);
        assert_eq!((players(&rest), players(&contended)), (vec![2, 3], vec![1]));
        let attempts: Vec<_> = contended.into_envelopes().iter().map(|it| it.attempts).collect();
        assert_eq!(attempts, [2, 0]);
        let (rest, contended) = rest.without_contended(1);
        assert_eq!((players(&rest), players(&contended)), (vec![2, 3], vec![]));
    }
}
