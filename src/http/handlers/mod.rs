//! One function for each route: it reads a request, makes one call below, and writes the answer. Handlers contain no
//! rules of the game.

pub mod admin;
pub mod auth;
pub mod catalogue;
pub mod health;
pub mod me;
pub mod operator_port;
pub mod players;
pub mod rankings;
pub mod seasons;
