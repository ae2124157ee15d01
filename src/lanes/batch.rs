//! Requests that are written together, grouped by aggregate.

use std::collections::HashSet;
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::Span;
use uuid::Uuid;

use super::reply::Reply;
use super::{Aggregate, Request};
use crate::telemetry::spans;

/// The result of a request.
type Answered<A> = Result<<A as Aggregate>::Answer, <A as Aggregate>::Error>;

/// A queued request and the channel for its answer.
pub(super) struct Envelope<A: Aggregate> {
    request: A::Request,
    /// `None` once the request is answered.
    reply: Option<Reply<Answered<A>>>,
    /// The span of the HTTP request.
    span: Span,
    /// How many attempts failed.
    attempts: usize,
    /// A cached row of this revision or a lower one is known to be outdated.
    outdated: i64,
    /// Until when the request may wait for a lock; `None` if it has not had to wait.
    waits_until: Option<Instant>,
}

impl<A: Aggregate> Envelope<A> {
    /// An envelope, and the receiver of its answer.
    pub(super) fn new(request: A::Request) -> (Self, oneshot::Receiver<Answered<A>>) {
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

    /// The id of the aggregate.
    pub(super) fn id(&self) -> Uuid {
        self.request.id()
    }

    /// Notes that the request waits for a lock, at most until `end`. If it already waits, its earlier limit stays.
    pub(super) fn wait_until(&mut self, end: Instant) {
        self.waits_until.get_or_insert(end);
    }

    /// Until when the request waits for a lock.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.waits_until
    }

    /// Whether the request has reached its limit of waiting for a lock.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.waits_until.is_some_and(|end| end <= now)
    }

    /// Answers the request, unless it is already answered.
    pub(super) fn answer(&mut self, answer: Answered<A>) {
        if let Some(reply) = self.reply.take() {
            reply.send(answer);
        }
    }
}

/// The value of [`Envelope::outdated`] while no row is known to be outdated.
const NONE_OUTDATED: i64 = i64::MIN;
/// A value for [`GroupResult::Retry`]: every cached row counts as outdated, so the next attempt reads the row.
pub const ALL_OUTDATED: i64 = i64::MAX;

/// Requests grouped by aggregate, those of one aggregate in the order of arrival. Aggregates are ordered by id, which
/// is the order in which rows are locked.
pub struct Batch<A: Aggregate> {
    envelopes: Vec<Envelope<A>>,
    /// The id and the index of each envelope, in the order of ids.
    places: Vec<(Uuid, usize)>,
}

/// The requests of a batch for one aggregate.
pub struct Group<'a, A: Aggregate> {
    /// The aggregate's id.
    pub id: Uuid,
    places: &'a [(Uuid, usize)],
    envelopes: &'a [Envelope<A>],
}

impl<'a, A: Aggregate> Group<'a, A> {
    /// The requests in the order of arrival.
    pub fn requests(&self) -> impl Iterator<Item = &'a A::Request> + use<'a, A> {
        let (places, envelopes) = (self.places, self.envelopes);
        places.iter().filter_map(move |&(_, place)| Some(&envelopes.get(place)?.request))
    }

    /// Whether any of the requests was attempted before.
    pub fn was_tried(&self) -> bool {
        self.places.iter().any(|&(_, place)| self.envelopes[place].attempts > 0)
    }

    /// Whether a cached row of that revision may be the latest.
    pub fn may_be_latest(&self, revision: i64) -> bool {
        self.places.iter().all(|&(_, place)| revision > self.envelopes[place].outdated)
    }
}

/// The result of one group of a batch.
pub enum GroupResult<A: Aggregate> {
    /// An answer for each request.
    Done(Vec<Result<A::Answer, A::Error>>),
    /// Every request of the group gets this error.
    Refused(A::Error),
    /// The requests must be attempted again, from a row of a higher revision than `outdated`.
    Retry { outdated: i64 },
}

impl<A: Aggregate> Batch<A> {
    pub(super) fn new(envelopes: Vec<Envelope<A>>) -> Self {
        let mut places: Vec<_> = envelopes.iter().map(Envelope::id).zip(0..).collect();
        places.sort_unstable();
        Self { envelopes, places }
    }

    /// A batch of requests whose answers nobody receives.
    #[cfg(test)]
    pub fn of_requests(requests: impl IntoIterator<Item = A::Request>) -> Self {
        Self::new(requests.into_iter().map(|request| Envelope::new(request).0).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.envelopes.is_empty()
    }

    /// The requests by aggregate, in the order of ids.
    pub fn groups(&self) -> impl Iterator<Item = Group<'_, A>> {
        by_id(&self.places).filter_map(|places| {
            let &(id, _) = places.first()?;
            Some(Group { id, places, envelopes: &self.envelopes })
        })
    }

    /// The ids of the aggregates, sorted.
    pub fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.groups().map(|group| group.id)
    }

    /// The requests that are not answered yet, those of one aggregate in the order of arrival.
    pub(super) fn into_envelopes(self) -> Vec<Envelope<A>> {
        self.envelopes
    }

    /// Splits off the aggregates with a request that was attempted `attempts` times. Returns the rest, and those.
    pub(super) fn without_contended(self, attempts: usize) -> (Self, Self) {
        let contended = self.envelopes.iter().filter(|envelope| envelope.attempts >= attempts);
        let contended: HashSet<Uuid> = contended.map(Envelope::id).collect();
        self.without(&contended)
    }

    /// Splits off the aggregates `ids`. Returns the rest, and those.
    pub(super) fn without(mut self, ids: &HashSet<Uuid>) -> (Self, Self) {
        if ids.is_empty() {
            return (self, Self::new(Vec::new()));
        }
        let split_off = self.envelopes.extract_if(.., |envelope| ids.contains(&envelope.id()));
        let split_off = split_off.collect();
        (Self::new(self.envelopes), Self::new(split_off))
    }

    /// Counts a failed attempt for every request.
    pub(super) fn count_attempt(&mut self) {
        self.envelopes.iter_mut().for_each(|envelope| envelope.attempts += 1);
    }

    /// The batch in two, each with half of the aggregates.
    pub(super) fn halves(self) -> [Self; 2] {
        let half = self.ids().count() / 2;
        let first: HashSet<Uuid> = self.ids().take(half).collect();
        let (second, first) = self.without(&first);
        [first, second]
    }

    /// Refuses the requests that were attempted `attempts` times, and returns the rest.
    pub(super) fn without_exhausted(self, attempts: usize, error: &A::Error) -> Self {
        self.refusing(|envelope| envelope.attempts >= attempts, error)
    }

    /// Refuses the requests that have reached their limit of waiting for a lock, and returns the rest.
    pub(super) fn without_overdue(self, now: Instant, error: &A::Error) -> Self {
        self.refusing(|envelope| envelope.is_overdue(now), error)
    }

    fn refusing(mut self, is_refused: impl Fn(&Envelope<A>) -> bool, error: &A::Error) -> Self {
        let refused = self.envelopes.extract_if(.., |envelope| is_refused(envelope));
        let refused = refused.map(|mut envelope| envelope.answer(Err(error.clone()))).count();
        if refused == 0 { self } else { Self::new(self.envelopes) }
    }

    /// Notes that all requests wait for a lock, at most until `end`. Earlier limits stay.
    pub(super) fn wait_until(&mut self, end: Instant) {
        self.envelopes.iter_mut().for_each(|envelope| envelope.wait_until(end));
    }

    /// Answers the groups with `results`, one for each group in order. Keeps the requests that must be attempted again.
    pub(super) fn answer(&mut self, results: impl IntoIterator<Item = GroupResult<A>>) {
        for (places, result) in by_id(&self.places).zip(results) {
            let envelopes = places.iter().map(|&(_, place)| place);
            match result {
                GroupResult::Retry { outdated } => {
                    for place in envelopes {
                        let envelope = &mut self.envelopes[place];
                        envelope.attempts += 1;
                        envelope.outdated = envelope.outdated.max(outdated);
                    }
                }
                GroupResult::Done(answers) => {
                    for (place, answer) in envelopes.zip(answers) {
                        self.envelopes[place].answer(answer);
                    }
                }
                GroupResult::Refused(error) => {
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

    /// Answers all remaining requests with an error.
    pub(super) fn refuse(mut self, error: &A::Error) {
        for envelope in &mut self.envelopes {
            envelope.answer(Err(error.clone()));
        }
    }

    /// A tracing span for writing the batch: a child of the span of the first sampled request, linked to the spans of
    /// the other ones.
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

fn by_id(places: &[(Uuid, usize)]) -> impl Iterator<Item = &[(Uuid, usize)]> {
    places.chunk_by(|(one, _), (other, _)| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Failure;
    use crate::lanes::testing::NoAggregate;

    fn batch(ids: &[u128]) -> Batch<NoAggregate> {
        Batch::of_requests(ids.iter().map(|&id| Uuid::from_u128(id)))
    }

    fn ids(batch: &Batch<NoAggregate>) -> Vec<u128> {
        batch.ids().map(|id| id.as_u128()).collect()
    }

    fn done() -> GroupResult<NoAggregate> {
        GroupResult::Done(vec![Err(Failure::Overloaded)])
    }

    #[test]
    fn a_retried_request_does_not_use_the_outdated_row() {
        let mut batch = batch(&[2, 1]);
        batch.answer([GroupResult::Retry { outdated: 7 }, done()]);
        assert_eq!(ids(&batch), [1]);
        let may_be_latest = |batch: &Batch<NoAggregate>, revision| {
            batch.groups().all(|group| group.may_be_latest(revision))
        };
        assert!(may_be_latest(&batch, 8) && !may_be_latest(&batch, 7));
        batch.answer([GroupResult::Retry { outdated: ALL_OUTDATED }]);
        assert!(!may_be_latest(&batch, i64::MAX));
        batch.answer([done()]);
        assert!(batch.is_empty());
    }

    #[test]
    fn all_requests_of_a_contended_aggregate_are_split_off_in_order() {
        let mut first = batch(&[1, 2]);
        first.answer([GroupResult::Retry { outdated: 1 }, done()]);
        first.count_attempt();
        let mut envelopes = first.into_envelopes();
        envelopes.extend(batch(&[2, 1, 3]).into_envelopes());
        let (rest, contended) = Batch::new(envelopes).without_contended(2);
        assert_eq!((ids(&rest), ids(&contended)), (vec![2, 3], vec![1]));
        let attempts: Vec<_> = contended.into_envelopes().iter().map(|it| it.attempts).collect();
        assert_eq!(attempts, [2, 0]);
        let (rest, contended) = rest.without_contended(1);
        assert_eq!((ids(&rest), ids(&contended)), (vec![2, 3], vec![]));
    }
}
