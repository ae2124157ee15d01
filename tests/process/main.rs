//! The program as an operator meets it: started, stopped, killed and misconfigured.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may give up, and be told how hard to try"
)]

mod client_errors;
mod configuration;
mod crashing;
mod embedded;
mod encryption;
#[cfg(all(feature = "otlp", feature = "sentry"))]
mod exporting;
mod jobs;
mod log_privacy;
mod program;
mod redis;
mod seeding;
mod slow_database;
#[cfg(all(feature = "otlp", feature = "sentry"))]
mod spans;
mod stopping;
mod unfit;
