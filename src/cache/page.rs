//! A player's rendered state, kept beside the row.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::{Catalogue, Inventory, Production, Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store::players::PlayerRecord;

/// The part of a player's state that a click does not change, as bytes. The module that renders states defines their
/// meaning.
#[derive(Debug)]
pub struct Page {
    pub basis: Basis,
    /// The player's production under the basis.
    pub production: Production,
    /// The rendered parts, one after the other.
    pub text: Box<[u8]>,
    /// Where in the text the second and the third part begin.
    pub gaps: [usize; 2],
    /// The start of the state's entity tag.
    pub tag_start: Box<[u8]>,
}

/// What a page was rendered from. Shared parts are compared by address.
#[derive(Debug)]
pub struct Basis {
    player: Uuid,
    epoch: Epoch,
    catalogue: Arc<Catalogue>,
    timeline: Arc<Timeline>,
    cores: f64,
    inventory: Inventory,
    display_name: Arc<str>,
    username: Option<Arc<str>>,
}

impl Basis {
    /// The basis of a page of `record`, which belongs to `epoch`, at `now`.
    pub fn of(
        record: &PlayerRecord,
        epoch: Epoch,
        timeline: &Arc<Timeline>,
        now: Timestamp,
    ) -> Self {
        let player = &record.player;
        Self {
            player: record.id,
            epoch,
            catalogue: Arc::clone(timeline.at(now)),
            timeline: Arc::clone(timeline),
            cores: player.cores,
            inventory: player.inventory.clone(),
            display_name: Arc::clone(&player.display_name),
            username: record.username.clone(),
        }
    }

    /// Whether a page of that state has the same basis. May be false for equal parts, if one of them was loaded again.
    pub fn is_of(
        &self,
        record: &PlayerRecord,
        epoch: Epoch,
        timeline: &Arc<Timeline>,
        now: Timestamp,
    ) -> bool {
        let player = &record.player;
        self.player == record.id
            && self.epoch == epoch
            && self.cores == player.cores
            && Arc::ptr_eq(&self.timeline, timeline)
            && Arc::ptr_eq(&self.catalogue, timeline.at(now))
            && self.inventory.is_shared_with(&player.inventory)
            && Arc::ptr_eq(&self.display_name, &player.display_name)
            && self.username.as_ref().map(Arc::as_ptr) == record.username.as_ref().map(Arc::as_ptr)
    }

    /// The catalogue in force.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }
}
