//! What a player can do, what comes of it, and why it may be refused.

use serde::{Deserialize, Serialize};

use super::slug::Slug;
use super::time::Timestamp;

/// The most clicks in one command.
pub const MAX_CLICKS: u64 = 1_000;
/// The most generators in one purchase that names a number.
pub const MAX_QUANTITY: u64 = 1_000_000;
/// The most actions in one command.
pub const MAX_ACTIONS: usize = 32;

/// A change that somebody asks for. Its serialized form tells repeats from other requests for a day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Command {
    /// One action of the player.
    Act(Action),
    /// Several in order, each of which may be refused alone.
    ActInOrder(Vec<Action>),
    /// Begin anew with more cores.
    Prestige,
    /// Take another display name, already checked.
    Rename(String),
    /// Be given energy by an operator. The player need not be there.
    Grant { energy: f64, reason: String },
    /// Be there, and no more.
    Arrive,
}

/// One thing a player does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Action {
    Click { clicks: u64 },
    BuyGenerator { id: Slug, quantity: Quantity },
    BuyUpgrade { id: Slug },
}

/// How many generators to buy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Quantity {
    /// Just so many, or none.
    Exactly(u64),
    /// As many as the energy buys, at least one.
    Max,
}

/// What a command that was applied came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    Clicked {
        accepted: u64,
    },
    BoughtGenerators {
        purchased: u64,
        spent: f64,
    },
    BoughtUpgrade {
        spent: f64,
    },
    Prestiged {
        gained_cores: f64,
    },
    Acted {
        results: Vec<ActionResult>,
    },
    /// Applied, with nothing to say of it.
    Done {},
}

/// What one of several actions came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionResult {
    Applied(Outcome),
    Refused(Refusal),
}

/// Why the rules refuse a command. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    UnknownGenerator,
    UnknownUpgrade,
    /// The cost is beyond the balance. A cost that leaves the finite range is told as the largest double.
    InsufficientEnergy {
        required: f64,
        available: f64,
    },
    /// The item is no longer sold.
    Retired,
    /// So many of that generator are needed.
    NeedsGenerators {
        generator: Slug,
        count: u64,
    },
    /// So much lifetime energy is needed.
    NeedsLifetimeEnergy {
        energy: f64,
    },
    AlreadyOwned,
    /// Prestige would add no core before this much lifetime energy.
    NothingToGain {
        lifetime_energy: f64,
    },
    /// The player has moved on from the version that the caller expected.
    VersionMismatch {
        current: u64,
    },
}

/// A line of the player's ledger: `balance_after = balance_after of the line before + earned + delta`.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerEntry {
    /// The player's version that it led to, which numbers the lines.
    pub version: u64,
    pub at: Timestamp,
    pub kind: LedgerKind,
    /// What it was about: an item's name, the cores reached, the reason of a grant.
    pub reference: String,
    /// What production and clicks brought since the line before.
    pub earned: f64,
    pub delta: f64,
    pub balance_after: f64,
}

/// What a ledger line records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerKind {
    GeneratorPurchase,
    UpgradePurchase,
    Prestige,
    Grant,
}

impl LedgerKind {
    /// Its name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GeneratorPurchase => "generator_purchase",
            Self::UpgradePurchase => "upgrade_purchase",
            Self::Prestige => "prestige",
            Self::Grant => "grant",
        }
    }
}
