//! The subcommands of the program, other than `serve`.

mod doctor;
mod healthcheck;
mod jobs;
mod migrate;
mod openapi;
mod seed;
mod upgrade;

pub use doctor::diagnose;
pub use healthcheck::check_health;
pub use jobs::manage_jobs;
pub use migrate::migrate;
pub use openapi::print_document;
pub use seed::seed;
