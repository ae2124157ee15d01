//! What operators call.

pub mod catalog;
pub mod players;
