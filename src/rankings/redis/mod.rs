//! The boards in Redis, which all instances share: a sorted set for each board, and a hash with the other data of the
//! players.
//!
//! Scores are stored negated and players as the bytes of their ids, so that `ZRANGE` returns the order of the board:
//! best first, and for equal scores the older player first. Every change is made by a script, so readers never see a
//! part of it.
//!
//! Redis may lose any key at any time by eviction, deletion or overwriting. Therefore each script that changes the
//! boards stores how many players each key contains, and each script compares these numbers with the keys before it
//! reads or writes.

mod codec;
mod keys;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{RedisResult, Script, ScriptInvocation};
use uuid::Uuid;

use super::board::{BOARDS, Board, List, Publication, Status, Surroundings, Unavailable};
use crate::domain::{Season, Timestamp};
use crate::id::random_id;
use crate::identity::{Identity, IdentityTracker};
use crate::redis_client::{Redis, is_wrong_type};
use codec::Page;
pub(super) use keys::Keys;

/// The number of standings in one call. A call takes about a millisecond, during which Redis serves no other client.
const WRITE_BATCH: usize = 200;

/// The timeout of a call that a request waits for. A request may spend 30 ms on Redis in total; it makes one such call
/// and usually no call to the limiter.
const READ_LIMIT: Duration = Duration::from_millis(25);

/// The timeout of a call that no request waits for.
const BACKGROUND_LIMIT: Duration = Duration::from_secs(5);

/// How long a build may be idle before another instance may start a new one.
const BUILD_IDLE_LIMIT: Duration = Duration::from_secs(30);

/// A script of this folder, preceded by the shared functions of `parts.lua`.
macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(concat!(include_str!("parts.lua"), include_str!($file))))
    };
}

static PUBLISH: LazyLock<Script> = script!("publish.lua");
static BEGIN: LazyLock<Script> = script!("begin.lua");
static FINISH: LazyLock<Script> = script!("finish.lua");
static ABANDON: LazyLock<Script> = script!("abandon.lua");
static STATUS: LazyLock<Script> = script!("status.lua");
static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));

/// The boards of a deployment.
pub(super) struct Shared {
    redis: Redis,
    identity: Arc<IdentityTracker>,
}

/// A build in progress.
#[derive(Clone, Debug)]
pub(super) struct Build {
    token: String,
    /// The keys that were current when it started.
    keys: Keys,
}

impl Shared {
    /// The boards of the identified database in its current epoch.
    pub(super) fn new(redis: Redis, identity: Arc<IdentityTracker>) -> Self {
        Self { redis, identity }
    }

    /// Whether Redis is available and the database is identified.
    pub(super) fn is_up(&self) -> bool {
        self.redis.is_up() && self.identity.current().is_some()
    }

    /// The current keys of the boards. The epoch may change at any time, so each operation gets the keys once and uses
    /// them until its end.
    pub(super) fn keys(&self) -> Keys {
        Keys::new(&self.redis, self.identity.current().unwrap_or_default())
    }

    /// The state of the boards.
    pub(super) async fn status(&self) -> Result<Status, Unavailable> {
        let call = call_of(&STATUS, &self.keys().live());
        let run = |mut connection| async move { call.invoke_async(&mut connection).await };
        let raw: codec::RawStatus = self.redis.with_limit(BACKGROUND_LIMIT, run).await?;
        Ok(codec::status(&raw))
    }

    /// Writes standings, unless there are newer ones. Nothing is written to incomplete boards.
    pub(super) async fn publish(
        &self,
        keys: &Keys,
        publication: &Publication<'_>,
    ) -> Result<Status, Unavailable> {
        self.write(keys, publication, "").await
    }

    async fn write(
        &self,
        keys: &Keys,
        publication: &Publication<'_>,
        token: &str,
    ) -> Result<Status, Unavailable> {
        let mut status = Status::default();
        let none: &[&[_]] = &[&[]];
        let (live, build) = (keys.live(), keys.build());
        let chunks: Vec<_> = publication.standings.chunks(WRITE_BATCH).collect();
        for standings in if chunks.is_empty() { none } else { &chunks } {
            let mut call = call_of(&PUBLISH, live.iter().chain(&build));
            call.arg(publication.season.number()).arg(publication.as_of.as_micros()).arg(token);
            for standing in *standings {
                call.arg(standing.player.as_bytes()).arg(codec::player_data(standing));
                for board in 0..BOARDS {
                    let score = standing.place.as_ref().map(|place| place.scores[board]);
                    call.arg(score.map(codec::score).unwrap_or_default());
                }
            }
            let run = |mut connection| async move {
                unless_interrupted(call.invoke_async::<codec::RawStatus>(&mut connection).await)
            };
            let answer = self.redis.with_limit(BACKGROUND_LIMIT, run).await?;
            let now = codec::status(&answer.ok_or(Unavailable::Interrupted)?);
            // Only the first call reports damage, because it removes the remaining parts.
            status = Status { is_damaged: status.is_damaged || now.is_damaged, ..now };
        }
        Ok(status)
    }

    /// Starts a rebuild; `None` if another instance is rebuilding. From now on publications are also written to the new
    /// boards.
    pub(super) async fn begin(&self) -> Result<Option<Build>, Unavailable> {
        let token = random_id().to_string();
        let keys = self.keys();
        let mut call = call_of(&BEGIN, &keys.build());
        call.arg(&token).arg(millis(BUILD_IDLE_LIMIT));
        let run = |mut connection| async move { call.invoke_async::<bool>(&mut connection).await };
        let begun = self.redis.with_limit(BACKGROUND_LIMIT, run).await?;
        Ok(begun.then_some(Build { token, keys }))
    }

    /// Writes standings to the new boards.
    pub(super) async fn fill(
        &self,
        build: &Build,
        publication: &Publication<'_>,
    ) -> Result<(), Unavailable> {
        self.check_current(build)?;
        self.write(&build.keys, publication, &build.token).await?;
        let [key, ..] = &build.keys.build();
        let run = |mut connection| async move {
            let mut command = redis::cmd("PEXPIRE");
            command.arg(key).arg(millis(BUILD_IDLE_LIMIT));
            command.query_async::<()>(&mut connection).await
        };
        Ok(self.redis.with_limit(BACKGROUND_LIMIT, run).await?)
    }

    /// Replaces the boards with the new ones.
    pub(super) async fn finish(
        &self,
        build: &Build,
        season: Season,
        began: Timestamp,
    ) -> Result<(), Unavailable> {
        self.check_current(build)?;
        let (live, built) = (build.keys.live(), build.keys.build());
        let mut call = call_of(&FINISH, live.iter().chain(&built));
        call.arg(&build.token).arg(began.as_micros()).arg(season.number());
        let run = |mut connection| async move {
            unless_interrupted(call.invoke_async::<()>(&mut connection).await)
        };
        let finished = self.redis.with_limit(BACKGROUND_LIMIT, run).await?;
        finished.ok_or(Unavailable::Interrupted)?;
        if let Err(error) = self.remove_earlier_epoch(&build.keys).await {
            tracing::debug!(%error, "the boards of the previous epoch were not removed");
        }
        Ok(())
    }

    /// Removes the boards of the epoch that preceded the epoch of `keys`, because they are no longer read.
    async fn remove_earlier_epoch(&self, keys: &Keys) -> Result<(), Unavailable> {
        let (database, epoch) = (keys.identity().database, keys.identity().epoch.to_string());
        let finished = self.redis.lasting_key(database, "{rankings}:epoch");
        let run = |mut connection| async move {
            let mut swap = redis::cmd("GETSET");
            let swapped = swap.arg(&finished).arg(&epoch).query_async(&mut connection).await;
            if swapped.as_ref().is_err_and(is_wrong_type) {
                redis::cmd("SET").arg(&finished).arg(&epoch).exec_async(&mut connection).await?;
                return Ok(None);
            }
            swapped as RedisResult<Option<String>>
        };
        let before = self.redis.with_limit(BACKGROUND_LIMIT, run).await?;
        let epoch = before.and_then(|before| before.parse().ok());
        let Some(epoch) = epoch.filter(|&it| it != keys.identity().epoch) else { return Ok(()) };
        let earlier = Keys::new(&self.redis, Identity { database, epoch });
        let run = |mut connection| async move {
            let mut unlink = redis::cmd("UNLINK");
            unlink.arg(&earlier.live()).arg(&earlier.build());
            unlink.exec_async(&mut connection).await
        };
        Ok(self.redis.with_limit(BACKGROUND_LIMIT, run).await?)
    }

    /// Removes a build that will not be finished, so that other instances need not wait until it expires.
    pub(super) async fn abandon(&self, build: &Build) -> Result<(), Unavailable> {
        let mut call = call_of(&ABANDON, &build.keys.build());
        call.arg(&build.token);
        let run = |mut connection| async move { call.invoke_async::<()>(&mut connection).await };
        Ok(self.redis.with_limit(BACKGROUND_LIMIT, run).await?)
    }

    /// Fails if the epoch has changed, because the build belongs to the previous epoch.
    fn check_current(&self, build: &Build) -> Result<(), Unavailable> {
        if build.keys == self.keys() { Ok(()) } else { Err(Unavailable::Interrupted) }
    }

    /// A page of a board.
    pub(super) async fn page(
        &self,
        board: Board,
        offset: usize,
        limit: usize,
    ) -> Result<List, Unavailable> {
        let mut call = self.reading(board);
        call.arg(offset).arg(limit);
        Ok(self.read(call).await?.list)
    }

    /// A player and up to `around` players on each side; `None` if the player is not on the board.
    pub(super) async fn surroundings(
        &self,
        board: Board,
        player: Uuid,
        around: usize,
    ) -> Result<Option<Surroundings>, Unavailable> {
        let mut call = self.reading(board);
        call.arg(player.as_bytes()).arg("around").arg(around);
        let Page { list, rank } = self.read(call).await?;
        let own = list.entries.iter().find(|entry| entry.player == player).map(|own| own.score);
        Ok(rank.zip(own).map(|(rank, score)| Surroundings { rank, score, list }))
    }

    fn reading(&self, board: Board) -> ScriptInvocation<'static> {
        let [meta, players, boards @ ..] = &self.keys().live();
        let mut call = call_of(&READ, [meta, players, &boards[board.index()]]);
        call.arg(board.as_str());
        call
    }

    async fn read(&self, call: ScriptInvocation<'static>) -> Result<Page, Unavailable> {
        let run = |mut connection| async move { call.invoke_async(&mut connection).await };
        let answer: Option<codec::RawPage> = self.redis.with_limit(READ_LIMIT, run).await?;
        answer.and_then(codec::page).ok_or(Unavailable::Incomplete)
    }
}

/// A script call over these keys.
fn call_of<'a>(
    script: &'static Script,
    keys: impl IntoIterator<Item = &'a String>,
) -> ScriptInvocation<'static> {
    let mut call = script.prepare_invoke();
    for key in keys {
        call.key(key);
    }
    call
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Returns `None` for the scripts' error `CUTSHORT`, because an interrupted build is not a failure of Redis.
fn unless_interrupted<T>(result: RedisResult<T>) -> RedisResult<Option<T>> {
    match result {
        Err(error) if error.code() == Some("CUTSHORT") => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::identity::{Epoch, Observed};
    use crate::rankings::board::{Stamp, Standing};
    use crate::redis_client::testing::unavailable;

    /// The boards of an epoch.
    fn boards(epoch: u64) -> Shared {
        let (identity, now) = (IdentityTracker::default(), Instant::now());
        let of_epoch = Identity { database: 1, epoch: Epoch::from_number(epoch) };
        let observed = Observed { identity: of_epoch, server_started_at: 1, wal_position: None };
        identity.observe(observed, now, now);
        Shared::new(unavailable("test:"), Arc::new(identity))
    }

    #[tokio::test]
    async fn a_build_ends_when_the_epoch_changes() {
        let (before, after) = (boards(1), boards(2));
        let (now, season) = (Timestamp::from_micros(1), Season::from_number(1));
        let stamp = Stamp { revision: 1, at: now };
        let standings = [Standing { player: Uuid::nil(), stamp, place: None }];
        let publication = Publication { season, as_of: now, standings: &standings };
        let build = Build { token: "x".to_owned(), keys: before.keys() };
        let [fill, finish] =
            [after.fill(&build, &publication).await, after.finish(&build, season, now).await];
        assert!(matches!(fill, Err(Unavailable::Interrupted)), "{fill:?}");
        assert!(matches!(finish, Err(Unavailable::Interrupted)), "{finish:?}");
        // In the same epoch only the unavailable Redis makes the call fail.
        let fill = before.fill(&build, &publication).await;
        assert!(matches!(fill, Err(Unavailable::Redis(_))), "{fill:?}");
    }
}
