//! The API as clients use it: real servers on free ports, each test with its own database on a real Postgres and a
//! clock that only the test moves.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test may give up")]

mod support;

mod account_end;
mod actions;
mod admin;
mod auth;
mod bad_input;
mod caching;
mod catalogue;
mod clock_steps;
mod coherence;
mod conventions;
mod cors;
mod deployment;
mod displayed_texts;
mod documented;
mod durability;
mod exhaustion;
mod extremes;
mod failover;
mod few_connections;
mod guests;
mod idempotency;
mod idempotency_slots;
mod identity;
mod instances;
mod interleavings;
mod jobs;
mod jobs_operators;
mod jobs_sweep;
mod keep_alive;
mod late_revocations;
mod ledger;
mod limits;
mod live;
mod locked_rows;
mod notifications;
mod observability;
mod openapi;
mod outage;
mod panics;
mod passwords;
mod player_columns;
mod playing;
mod pooler;
mod presence;
mod query_plans;
mod rankings;
mod redis_outages;
mod redis_rights;
mod refresh_tokens;
mod refused_writes;
mod rejected_rows;
mod session_cookie;
mod sessions;
mod streams;
mod suspended_database;
mod unannounced_changes;
mod web_page;
