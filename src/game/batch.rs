//! Requests that are written together, by player.

use std::collections::HashMap;

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
}

impl Envelope {
    /// A request, and where its answer will come.
    pub(super) fn new(request: Request) -> (Self, oneshot::Receiver<Result<Answer, Error>>) {
        let (reply, answer) = Reply::new();
        (Self { request, reply: Some(reply), span: Span::current() }, answer)
    }

    fn answer(&mut self, answer: Result<Answer, Error>) {
        if let Some(reply) = self.reply.take() {
            reply.send(answer);
        }
    }
}

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
}

/// What has become of a player's part of a batch.
pub(super) enum Settled {
    /// An answer for each request.
    Done(Vec<Result<Answer, Error>>),
    /// There is no such player.
    Missing,
    /// It has to be tried again.
    Again,
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

    /// A batch for each player.
    pub(super) fn apart(self) -> Vec<Self> {
        let mut parts: HashMap<Uuid, Vec<Envelope>> = HashMap::new();
        for envelope in self.envelopes {
            parts.entry(envelope.request.player).or_default().push(envelope);
        }
        parts.into_values().map(Self::new).collect()
    }

    /// Answers as `settled` says of each player in turn, and keeps those who are to be tried again.
    pub(super) fn answer(&mut self, settled: impl IntoIterator<Item = Settled>) {
        for (places, settled) in by_player(&self.places).zip(settled) {
            let envelopes = places.iter().map(|&(_, place)| place);
            match settled {
                Settled::Again => {}
                Settled::Done(answers) => {
                    for (place, answer) in envelopes.zip(answers) {
                        self.envelopes[place].answer(answer);
                    }
                }
                Settled::Missing => {
                    for place in envelopes {
                        self.envelopes[place].answer(Err(Error::NoSuchPlayer));
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

/// The idempotency keys of a batch, in the form of the look-up's parameters.
pub(super) struct Keys<'a> {
    pub(super) players: Vec<Uuid>,
    pub(super) hashes: Vec<&'a [u8]>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(batch: &'a Batch) -> Self {
        let keyed = |request: &'a Request| {
            let key = request.key.as_ref()?;
            Some((request.player, key.key_hash.as_slice()))
        };
        let (players, hashes) =
            batch.turns().flat_map(|turn| turn.requests().filter_map(keyed)).unzip();
        Self { players, hashes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.players.is_empty()
    }
}

/// Records by player.
pub(super) fn outcomes(records: Vec<Record>) -> HashMap<Uuid, Remembered> {
    let mut outcomes: HashMap<Uuid, Remembered> = HashMap::new();
    for record in records {
        let hashes = (record.key_hash.try_into(), record.request_hash.try_into());
        if let (Ok(key_hash), Ok(request_hash)) = hashes {
            let of_player = outcomes.entry(record.player_id).or_default();
            of_player.insert(key_hash, (request_hash, record.outcome));
        }
    }
    outcomes
}
