//! The encoding of the boards in Redis.

use uuid::Uuid;

use crate::domain::{Season, Timestamp, finite};
use crate::rankings::board::{Entry, List, Standing, Status};

/// The size of the stamp before the name: revision and time, each a big-endian double.
const STAMP_BYTES: usize = 16;

/// The stored data of a player except the scores: the stamp, by which scripts find the newer standing, and the display
/// name. Lua scripts have only doubles; they represent revisions and microseconds exactly, because both are far below
/// 2^53.
pub(super) fn player_data(standing: &Standing) -> Vec<u8> {
    let name = standing.place.as_ref().map_or("", |place| &place.name);
    let mut bytes = Vec::with_capacity(STAMP_BYTES + name.len());
    bytes.extend((standing.stamp.revision as f64).to_be_bytes());
    bytes.extend((standing.stamp.at.as_micros() as f64).to_be_bytes());
    bytes.extend(name.as_bytes());
    bytes
}

/// A score for a sorted set, negated so that the best score is the lowest. Seventeen digits distinguish any two
/// doubles.
pub(super) fn score(score: f64) -> String {
    if score > 0.0 { format!("-{score:e}") } else { "0".to_owned() }
}

/// When and in which season the boards were last built completely, and how many keys remain if they are damaged.
pub(super) type RawStatus = (String, String, u64);

/// Decodes a status.
pub(super) fn status((at, season, remains): &RawStatus) -> Status {
    let built = at.parse().ok().map(Timestamp::from_micros);
    let season = season.parse().ok().map(Season::from_number);
    Status { rebuilt: built.zip(season), is_damaged: *remains > 0 }
}

/// The result of `read.lua`.
pub(super) type RawPage = (String, u64, u64, Vec<(Vec<u8>, String)>, Vec<Option<Vec<u8>>>, i64);

/// A decoded result of `read.lua`.
pub(super) struct Page {
    pub(super) list: List,
    /// The rank of the requested player, if it is on the board.
    pub(super) rank: Option<u64>,
}

/// Decodes a result of `read.lua`; `None` if it is malformed or if the data of a player on the board was lost.
pub(super) fn page(raw: RawPage) -> Option<Page> {
    let (as_of, total_players, first, members, data, rank) = raw;
    let entries =
        (first + 1..).zip(members.into_iter().zip(data)).map(|(rank, ((player, score), data))| {
            let name = std::str::from_utf8(data.as_deref()?.get(STAMP_BYTES..)?).ok()?;
            let score: f64 = score.parse().ok()?;
            Some(Entry {
                rank,
                player: Uuid::from_slice(&player).ok()?,
                name: name.into(),
                // Subtracting from 0 avoids -0. `finite` is needed because JSON has no infinity.
                score: finite(0.0 - score),
            })
        });
    let as_of = Timestamp::from_micros(as_of.parse().ok()?);
    let entries = entries.collect::<Option<Vec<_>>>()?;
    let rank = u64::try_from(rank).ok().map(|rank| rank + 1);
    Some(Page { list: List { as_of, total_players, entries }, rank })
}
