//! Access to Postgres. This is the only module that uses the Postgres driver. Each function runs a statement of
//! `sql/queries`. The rules of the game are in `domain`, not here.

pub mod accounts;
mod allowance;
mod budget;
pub mod catalogues;
mod commit;
pub mod embedded;
mod endpoint;
mod error;
mod fitness;
pub mod idempotency;
pub mod jobs;
pub mod ledger;
pub mod mailings;
pub mod migrations;
pub mod names;
pub mod notifications;
pub mod operators;
pub mod outbox;
mod player_columns;
pub mod players;
mod pool;
pub mod pulse;
pub mod purge;
mod rankings;
pub mod ring;
pub mod seasons;
pub mod seed;
pub mod sessions;
pub mod signals;
mod statement;
pub mod streams;
pub mod sweep;
mod time;
mod tls;
mod writes;

pub use commit::{Change, Commit, Written};
pub use endpoint::Endpoint;
pub use error::{Error, with_cause};
pub use player_columns::expand as expand_columns;
pub use pool::{PoolStatus, Store, StoreOptions, Transaction, Writing};
pub use tls::{Identity, connector as tls_connector};
pub use writes::Refusal;

#[cfg(test)]
pub mod testing {
    use std::time::Duration;

    use super::{Store, StoreOptions};

    /// A store whose database is never used.
    pub fn unused() -> Store {
        let second = Duration::from_secs(1);
        let store = Store::new(StoreOptions {
            endpoint: tokio_postgres::Config::new().into(),
            pool_size: 1,
            pool_timeout: second,
            connect_timeout: second,
            statement_timeout: second,
        });
        store.expect("a pool")
    }
}
