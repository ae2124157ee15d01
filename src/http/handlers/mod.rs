//! Handlers, one for each route. A handler parses the request, calls one service, and writes the response. It contains
//! no game rules.

pub mod admin;
pub mod auth;
pub mod catalogue;
pub mod events;
pub mod health;
pub mod live;
pub mod me;
pub mod notifications;
pub mod operator_port;
pub mod players;
pub mod rankings;
pub mod seasons;
