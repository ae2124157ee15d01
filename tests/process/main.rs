//! The program as an operator meets it: started, stopped, killed and misconfigured.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test may give up")]

mod configuration;
mod embedded;
mod program;
mod stopping;
