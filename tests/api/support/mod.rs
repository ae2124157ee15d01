//! What all tests of the API share.

mod app;
pub mod books;
mod client;
mod cluster;

pub use app::{ADMIN_TOKEN, JWT_SECRET, Options, TestApp, World};
pub use client::{Player, Reply};
