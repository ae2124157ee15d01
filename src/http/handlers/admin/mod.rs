//! The API for operators.

pub mod catalogue;
pub mod jobs;
pub mod notifications;
pub mod players;
pub mod rankings;
