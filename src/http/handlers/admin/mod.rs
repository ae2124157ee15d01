//! The API for operators.

pub mod catalogue;
pub mod jobs;
pub mod players;
pub mod rankings;
