//! Idlewatt: the backend of an idle-energy game.
//!
//! Energy is a formula over a player's row, so reading never writes. Changes go through lanes, which commit many
//! players' commands together; each row is guarded by its revision, so any number of instances may run.
//!
//! Modules in the order of who may know whom, from the top: [`app`] wires; [`http`] speaks, [`jobs`] work; [`operators`], [`game`],
//! [`accounts`], [`rankings`] and [`catalogue`] hold the use cases; [`store`] speaks with Postgres; [`domain`] holds the rules, and
//! knows none of the others.

// A panic is the failure of one job or one request, as long as it unwinds.
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
pub mod operators;
pub mod peers;
pub mod rankings;
pub mod redis_client;
pub mod seed;
pub mod store;
pub mod supervisor;
pub mod telemetry;
