//! Tests of the whole program as an operator runs it: started, stopped, killed and misconfigured.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic and read its settings from the environment"
)]

mod configuration;
mod crashing;
mod embedded;
mod encryption;
#[cfg(all(feature = "otlp", feature = "sentry"))]
mod exporting;
mod jobs;
mod log_secrets;
mod malformed_input;
mod program;
mod redis;
mod seeding;
mod slow_database;
#[cfg(all(feature = "otlp", feature = "sentry"))]
mod spans;
mod stopping;
mod unsuitable_database;
