//! The API as clients meet it: real servers on free ports, each test with a database of its own on a real Postgres, and
//! with a clock that only moves when the test moves it.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test may give up")]

mod support;

mod account_end;
mod actions;
mod catalogue;
mod extremes;
mod idempotency;
mod instances;
mod ledger;
mod outage;
mod playing;
mod presence;
