//! Postgres: the only place that knows its driver. A function is a statement, kept in `sql/queries`; none decides
//! anything that is a rule of the game.

pub mod accounts;
mod allowance;
mod budget;
pub mod catalogues;
mod commit;
pub mod embedded;
mod endpoint;
mod error;
pub mod idempotency;
pub mod jobs;
pub mod ledger;
pub mod migrations;
pub mod operators;
pub mod players;
mod pool;
pub mod pulse;
pub mod purge;
mod rankings;
pub mod seasons;
pub mod seed;
pub mod sessions;
mod statement;
pub mod sweep;
mod time;
mod tls;
mod writes;

pub use commit::{Change, Commit};
pub use endpoint::Endpoint;
pub use error::{Error, with_cause};
pub use pool::{PoolStatus, Store, StoreOptions, Transaction};
pub use tls::Identity;
pub use writes::Refusal;
