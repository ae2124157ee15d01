//! The response with a player's state.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::notifications::LanguageWire;
use super::number::whole;
use super::time::rfc3339;
use crate::domain::{Away, Language, Timeline, Timestamp};
use crate::identity::Epoch;
use crate::store::players::PlayerRecord;

/// A player's state at `server_time`. Between versions a client extrapolates `energy + energy_per_second * (t -
/// server_time)`, up to `accrues_until`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = State)]
pub struct StateWire {
    pub player_id: Uuid,
    pub display_name: String,
    /// Null for guests.
    #[schema(required)]
    pub username: Option<String>,
    /// The language of texts for the player; null until the player chooses one, and then `Accept-Language` decides.
    #[schema(required, value_type = Option<LanguageWire>)]
    pub language: Option<Language>,
    pub energy: f64,
    /// The sum of all energy from production and clicks.
    pub lifetime_energy: f64,
    pub energy_per_second: f64,
    pub energy_per_click: f64,
    #[serde(serialize_with = "whole")]
    pub cores: f64,
    /// Rises by one with every applied mutation. Within an `epoch`, keep the state with the highest version.
    pub version: u64,
    /// The owned generators, in the order of the catalogue.
    pub generators: Vec<OwnedGeneratorWire>,
    /// The ids of the owned upgrades.
    pub upgrades: Vec<String>,
    /// Changes when the database was restored or replaced, after which the state may be an earlier one. Accept a state
    /// of a new epoch even if its version is lower.
    #[schema(example = "5b1c8e0f9a7d2346")]
    pub epoch: String,
    /// When production stops unless the player returns before.
    #[schema(format = DateTime)]
    pub accrues_until: String,
    #[schema(format = DateTime)]
    pub server_time: String,
    /// The last absence, if it was longer than a minute. Present for 30 s or until the next mutation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = AwayWire, required = false)]
    pub away: Option<AwayWire>,
}

/// A placeholder for the state in a struct whose other members are serialized. The state is added later as rendered
/// JSON.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StatePlace;

impl StatePlace {
    /// Always true, for `#[serde(skip_serializing_if)]`. `#[serde(skip)]` would also remove the member from the schema.
    pub fn is_added_later(&self) -> bool {
        true
    }
}

/// One kind of generator that the player owns.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnedGenerator)]
pub struct OwnedGeneratorWire {
    #[schema(example = "wind_turbine")]
    pub id: String,
    pub owned: u64,
    /// The cost of the next unit; null if it cannot be bought.
    #[schema(required)]
    pub next_cost: Option<f64>,
    /// The production of all owned units.
    pub energy_per_second: f64,
}

/// An absence of the player.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Away)]
pub struct AwayWire {
    pub seconds: f64,
    /// The seconds of the absence for which production continued.
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
            language: player.language,
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
