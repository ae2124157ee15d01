//! A player's rendered state, cached together with the row.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::{Catalogue, Inventory, Language, Production, Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store::players::PlayerRecord;

/// The rendered parts of a player's state that a click does not change. `api::StatePage` writes and reads them.
#[derive(Debug)]
pub struct Page {
    pub basis: Basis,
    /// The player's production, calculated from the basis.
    pub production: Production,
    /// Three rendered parts, concatenated.
    pub text: Box<[u8]>,
    /// The offsets in `text` at which the second and the third part start.
    pub part_starts: [usize; 2],
    /// The constant start of the state's entity tag.
    pub tag_start: Box<[u8]>,
}

/// The inputs from which a page was rendered. Inputs behind an `Arc` are compared by address.
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
    language: Option<Language>,
}

impl Basis {
    /// The inputs for rendering `record`, which belongs to `epoch`, at `now`.
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
            language: player.language,
        }
    }

    /// Whether a page of that state would have the same inputs. May return false for equal inputs if one of them was
    /// loaded again, because addresses are compared.
    pub fn matches(
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
            && self.language == player.language
            && Arc::ptr_eq(&self.display_name, &player.display_name)
            && self.username.as_ref().map(Arc::as_ptr) == record.username.as_ref().map(Arc::as_ptr)
    }

    /// The catalogue in force.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }
}
