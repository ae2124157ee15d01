//! The commands of a player, their outcomes, and the reasons for refusing them.

use serde::{Deserialize, Serialize};

use super::notification::Language;
use super::slug::Slug;
use super::time::Timestamp;

/// The largest number of clicks in one command.
pub const MAX_CLICKS: u64 = 1_000;
/// The largest number of generators in one purchase, except in a purchase of [`Quantity::Max`].
pub const MAX_QUANTITY: u64 = 1_000_000;
/// The largest number of actions in one command.
pub const MAX_ACTIONS: usize = 32;

/// A requested change of a player. A hash of its serialized form is stored for up to a day to recognize repeats of a
/// request. If that form changes, the stored hashes no longer match.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Command {
    /// One action of the player.
    Act(Action),
    /// Several actions in order. Each may be refused without affecting the others.
    ActInOrder(Vec<Action>),
    /// Resets the player in exchange for more cores.
    Prestige,
    /// Sets the display name. The name must have been validated.
    Rename(String),
    /// Sets the language of texts for the player, and the display name if there is one, which must have been validated.
    ChooseLanguage { language: Language, display_name: Option<String> },
    /// Gives the player energy on behalf of an operator. This does not count as presence.
    Grant { energy: f64, reason: String },
    /// Stores that the player is present, and changes nothing else.
    Arrive,
}

/// One action of a player.
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
    /// As many as the player can afford, at least one.
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
    /// The command was applied and has no result values.
    Done {},
}

/// The outcome of one of several actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionResult {
    Applied(Outcome),
    Refused(Refusal),
}

/// Why the rules refuse a command.
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
    /// Prestige would add no core. It adds one from this lifetime energy on.
    NothingToGain {
        lifetime_energy: f64,
    },
    /// The player's version is not the one that the caller expected.
    VersionMismatch {
        current: u64,
    },
}

/// An entry of the player's ledger: `balance_after = balance_after of the previous entry + earned + delta`.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerEntry {
    /// The player's version after the change. It identifies the entry.
    pub version: u64,
    pub at: Timestamp,
    pub kind: LedgerKind,
    /// The id of the bought item, the number of cores, or the reason of a grant.
    pub reference: String,
    /// The energy from production and clicks since the previous entry.
    pub earned: f64,
    /// The energy that the change added (positive) or spent (negative).
    pub delta: f64,
    /// The balance after the change.
    pub balance_after: f64,
}

/// The kind of change that a ledger entry records.
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
