//! What operators call.

pub mod catalog;
pub mod jobs;
pub mod players;
pub mod rankings;
