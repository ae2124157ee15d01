//! A player's state.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::number::whole;
use super::time::rfc3339;
use crate::domain::{Away, Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store::players::PlayerRecord;

/// A player's numbers at `server_time`. Between versions a client extrapolates `energy + energy_per_second * (t -
/// server_time)`, up to `accrues_until`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = State)]
pub struct StateWire {
    pub player_id: Uuid,
    pub display_name: String,
    /// Null for guests, who have none.
    #[schema(required)]
    pub username: Option<String>,
    pub energy: f64,
    /// All that production and clicks ever brought.
    pub lifetime_energy: f64,
    pub energy_per_second: f64,
    pub energy_per_click: f64,
    #[serde(serialize_with = "whole")]
    pub cores: f64,
    /// Rises by one with every applied mutation. Keep the state with the highest that you have seen within an `epoch`.
    pub version: u64,
    /// Those owned, in the catalogue's order.
    pub generators: Vec<OwnedGeneratorWire>,
    /// Those owned.
    pub upgrades: Vec<String>,
    /// Changes when the database was restored or replaced, and so may have gone back: take the state then, whatever its
    /// version.
    #[schema(example = "5b1c8e0f9a7d2346")]
    pub epoch: String,
    /// Until when production goes on if the player does not come back.
    #[schema(format = DateTime)]
    pub accrues_until: String,
    #[schema(format = DateTime)]
    pub server_time: String,
    /// An absence of more than a minute: there until the next mutation or for 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = AwayWire, required = false)]
    pub away: Option<AwayWire>,
}

/// Stands for the state in a struct whose other members are serialized. The state itself is added as rendered JSON.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StatePlace;

impl StatePlace {
    /// For `#[serde(skip_serializing_if)]`, always true: `#[serde(skip)]` would remove the member from the schema too.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub fn is_added_later(&self) -> bool {
        true
    }
}

/// What a player has of one generator.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnedGenerator)]
pub struct OwnedGeneratorWire {
    #[schema(example = "wind_turbine")]
    pub id: String,
    pub owned: u64,
    /// Null where the next one cannot be bought at any price.
    #[schema(required)]
    pub next_cost: Option<f64>,
    /// What all of them make.
    pub energy_per_second: f64,
}

/// What happened while the player was away.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Away)]
pub struct AwayWire {
    pub seconds: f64,
    /// The part of it in which production went on.
    pub credited_seconds: f64,
    pub energy: f64,
}

impl StateWire {
    /// The state of `record`, which was read in `epoch`, at `now`.
    pub fn new(record: &PlayerRecord, epoch: Epoch, timeline: &Timeline, now: Timestamp) -> Self {
        let player = &record.player;
        let view = player.view(timeline, now);
        let generators = view.generators.iter().map(|generator| OwnedGeneratorWire {
            id: generator.id.to_string(),
            owned: generator.owned,
            next_cost: generator.next_cost,
            energy_per_second: generator.energy_per_second,
        });
        Self {
            player_id: record.id,
            display_name: player.display_name.as_ref().into(),
            username: record.username.as_deref().map(Into::into),
            energy: view.energy,
            lifetime_energy: view.lifetime_energy,
            energy_per_second: view.production.energy_per_second,
            energy_per_click: view.production.energy_per_click,
            cores: player.cores,
            version: player.version,
            generators: generators.collect(),
            upgrades: player.inventory.upgrades().map(ToString::to_string).collect(),
            epoch: epoch.to_string(),
            accrues_until: rfc3339(view.accrues_until),
            server_time: rfc3339(view.now),
            away: view.away.map(AwayWire::from),
        }
    }
}

impl From<&Away> for AwayWire {
    fn from(away: &Away) -> Self {
        Self { seconds: away.seconds, credited_seconds: away.credited_seconds, energy: away.energy }
    }
}
