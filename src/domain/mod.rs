//! The rules of the game: pure functions on plain data. The time is a parameter. The code here does no I/O, takes no
//! locks, and does not depend on how values are displayed.

mod apply;
mod catalogue;
mod command;
mod cost;
mod inventory;
mod notification;
mod player;
mod production;
#[cfg(test)]
mod range_tests;
mod rules;
mod season;
mod slug;
#[cfg(test)]
pub mod testing;
pub mod text;
mod time;
mod timeline;
mod view;

pub use catalogue::{
    Catalogue, CatalogueFault, CatalogueItems, CatalogueTexts, Effect, Generator, ItemText,
    Requirement, Texts, Upgrade,
};
pub use command::{
    Action, ActionResult, Command, LedgerEntry, LedgerKind, MAX_ACTIONS, MAX_CLICKS, MAX_QUANTITY,
    Outcome, Quantity, Refusal,
};
pub use cost::CostCurve;
pub use inventory::Inventory;
pub use notification::{Language, Localized, Priority};
pub use player::{Away, ClickBucket, Player};
pub use production::{Production, finite};
pub use rules::{AWAY_AFTER_SECONDS, AWAY_SHOWN_SECONDS, PRESENCE_SECONDS, Rules};
pub use season::Season;
pub use slug::Slug;
pub use time::Timestamp;
pub use timeline::Timeline;
pub use view::{OwnedGenerator, View};
