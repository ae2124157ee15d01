//! Helpers of all tests of the API.

mod app;
pub mod books;
mod client;
pub mod cluster;
pub mod document;
pub mod gate;
mod jobs;
pub mod own_cluster;
pub mod pooler;
pub mod proxy;
mod raw;
pub mod redis;
pub mod schema;
mod signing_in;
pub mod tokens;

pub use app::{ADMIN_TOKEN, JWT_SECRET, Options, TestApp, UNLIMITED, World};
pub use client::{Client, Player, Reply};
pub use signing_in::PASSWORD;
