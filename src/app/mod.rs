//! Wiring: from a configuration to a server that runs and stops.

mod database;
mod doctor;
mod healthcheck;
mod housekeeping;
mod jobs;
mod migrate;
mod openapi;
mod pulse;
mod rankings;
mod seed;
mod serve;
mod server;
mod unread;
mod upkeep;
mod writes;

pub use database::Database;
pub use doctor::diagnose;
pub use healthcheck::check_health;
pub use jobs::manage_jobs;
pub use migrate::migrate;
pub use openapi::print_document;
pub use seed::seed;
pub use serve::serve;
pub use server::{Server, Settings};

use crate::{data_dir, store, supervisor};

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
    #[error(transparent)]
    Embedded(#[from] store::embedded::Error),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("the database cannot be used: {0}")]
    Database(#[from] store::Error),
    #[error(transparent)]
    Fault(#[from] supervisor::Fault),
    #[error("{0}")]
    Other(String),
}
