//! The operators' API.

pub mod catalogue;
pub mod jobs;
pub mod players;
pub mod rankings;
