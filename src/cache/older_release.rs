//! Changes of players in the format of the release before the last. Remove this file together with
//! `peers::older_release`.

use std::sync::Arc;

use serde::Deserialize;
use uuid::Uuid;

use super::encoding::Change;
use crate::store::players::PlayerRecord;

/// A change of one player as that release announces it.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
enum OlderChange {
    State(Arc<PlayerRecord>),
    Touched(Uuid),
    Deleted(Uuid),
}

/// Decodes the items of a message; `None` if they have another format. Only the fact that a player changed is used, not
/// its row, because another deployment may use the same channel.
pub(super) fn decode(items: &[u8]) -> Option<Vec<Change>> {
    let changes: Vec<OlderChange> = postcard::from_bytes(items).ok()?;
    let player = |change| match change {
        OlderChange::State(record) => record.id,
        OlderChange::Touched(player) | OlderChange::Deleted(player) => player,
    };
    Some(changes.into_iter().map(player).map(Change::Touched).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::encoding::tests::record;

    #[test]
    fn changes_of_the_older_release_are_decoded() {
        let players: Vec<_> = (7..10).map(Uuid::from_u128).collect();
        let changes = vec![
            OlderChange::State(Arc::new(record())),
            OlderChange::Touched(players[1]),
            OlderChange::Deleted(players[2]),
        ];
        let bytes = postcard::to_extend(&changes, Vec::new()).expect("encoded");
        let touched: Vec<_> = decode(&bytes)
            .expect("decoded")
            .into_iter()
            .map(|change| match change {
                Change::Touched(player) => player,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(touched, players);
    }
}
