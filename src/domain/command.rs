//! What a player can do, the possible outcomes, and why a command may be refused.

use serde::{Deserialize, Serialize};

use super::slug::Slug;
use super::time::Timestamp;

/// The largest number of clicks in one command.
pub const MAX_CLICKS: u64 = 1_000;
/// The largest number of generators in one purchase, other than "max".
pub const MAX_QUANTITY: u64 = 1_000_000;
/// The largest number of actions in one command.
pub const MAX_ACTIONS: usize = 32;

/// A requested change. Its serialized form is stored for a day to recognise repeats of a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Command {
    /// One action of the player.
    Act(Action),
    /// Several actions in order. Each may be refused without affecting the others.
    ActInOrder(Vec<Action>),
    /// Reset the player in exchange for more cores.
    Prestige,
    /// Set a display name, which is validated already.
    Rename(String),
    /// Receive energy from an operator. This does not count as presence.
    Grant { energy: f64, reason: String },
    /// Be present, and change nothing else.
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
    /// Exactly this number, or none.
    Exactly(u64),
    /// As many as the energy suffices for, at least one.
    Max,
}

/// The outcome of a command that was applied.
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
    /// Applied; there is nothing to report.
    Done {},
}

/// The outcome of one of several actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionResult {
    Applied(Outcome),
    Refused(Refusal),
}

/// Why the rules refuse a command. A refused command changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    UnknownGenerator,
    UnknownUpgrade,
    /// The cost exceeds the balance. A cost outside the finite range is reported as the largest double.
    InsufficientEnergy {
        required: f64,
        available: f64,
    },
    /// The item is no longer sold.
    Retired,
    /// At least `count` units of `generator` are required.
    NeedsGenerators {
        generator: Slug,
        count: u64,
    },
    /// At least `energy` lifetime energy is required.
    NeedsLifetimeEnergy {
        energy: f64,
    },
    AlreadyOwned,
    /// Prestige adds a core only from this lifetime energy on.
    NothingToGain {
        lifetime_energy: f64,
    },
    /// The player has another version than the caller expected.
    VersionMismatch {
        current: u64,
    },
}

/// An entry of the player's ledger: `balance_after = balance_after of the previous entry + earned + delta`.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerEntry {
    /// The player's version after the change, which numbers the entries.
    pub version: u64,
    pub at: Timestamp,
    pub kind: LedgerKind,
    /// The subject: an item's name, the number of cores, or the reason of a grant.
    pub reference: String,
    /// What production and clicks added since the previous entry.
    pub earned: f64,
    pub delta: f64,
    pub balance_after: f64,
}

/// What a ledger entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerKind {
    GeneratorPurchase,
    UpgradePurchase,
    Prestige,
    Grant,
}

impl LedgerKind {
    /// The name in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GeneratorPurchase => "generator_purchase",
            Self::UpgradePurchase => "upgrade_purchase",
            Self::Prestige => "prestige",
            Self::Grant => "grant",
        }
    }
}
