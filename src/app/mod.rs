//! Wiring: builds and runs a server from a configuration, and implements the other commands.

mod commands;
mod database;
mod loops;
mod serve;
mod server;

pub use commands::{check_health, diagnose, manage_jobs, migrate, print_document, seed};
pub use database::Database;
pub use serve::serve;
pub use server::{Server, Settings};

use crate::{data_dir, store, supervisor};

/// Why a command failed.
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
