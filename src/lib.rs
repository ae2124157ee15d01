//! Idlewatt: the backend of an idle-energy game.
//!
//! A player's energy is calculated from its row and the time, so reading never writes. Changes go through lanes, which
//! commit the commands of many players together. A write succeeds only if the row still has the revision that was read,
//! so any number of instances can run.
//!
//! The modules from top to bottom; each uses only modules below it, as `tests/architecture.rs` checks: [`app`] wires
//! everything; [`http`] is the transport, [`api`] the contract without a transport, and [`jobs`] is background work;
//! [`operators`], [`game`], [`accounts`], [`rankings`] and [`catalogue`] are the use cases; [`lanes`], [`cache`],
//! [`peers`] and [`limit`] are the infrastructure; [`store`] and [`redis_client`] talk to Postgres and Redis;
//! [`domain`] has the rules and uses no other module.

// A panic must fail only one job or one request, which requires unwinding.
#[cfg(panic = "abort")]
compile_error!("a panic must unwind: set `panic = \"unwind\"` in the profile");

pub mod accounts;
pub mod api;
pub mod app;
pub mod cache;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod domain;
pub mod game;
pub mod generations;
pub mod health;
pub mod http;
pub mod id;
pub mod identity;
pub mod jobs;
pub mod lanes;
pub mod limit;
pub mod live;
pub mod notifications;
pub mod operators;
pub mod peers;
pub mod rankings;
pub mod redis_client;
pub mod seed;
pub mod signals;
pub mod store;
pub mod streams;
pub mod supervisor;
pub mod telemetry;
