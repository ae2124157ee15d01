//! Why the server closes connections.

use super::message::Fault;
use crate::accounts;
use crate::accounts::{Accounts, Identity};

/// Why a connection is closed, with the code of the close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The server stops. The client reconnects as `goaway` says.
    Draining,
    /// The client reads too slowly. It reconnects with its positions.
    TooSlow,
    /// No hello, or no sign of life.
    Silent,
    /// A newer connection of the player took its place.
    Replaced,
    /// The access token has expired. The client reconnects with a fresh one.
    TokenExpired,
    /// The token is not valid, or the session or the player has ended; with the reason.
    Ended(&'static str),
    /// Too many frames could not be read.
    Unreadable,
    /// The WebSocket protocol was violated.
    Fault(Fault),
    /// The client closed the connection; with its code.
    Client(Option<u16>),
}

impl Closing {
    /// All values of the label of the metric.
    pub const LABELS: [&str; 9] = [
        "draining",
        "too_slow",
        "silent",
        "replaced",
        "token_expired",
        "ended",
        "unreadable",
        "protocol",
        "client",
    ];

    /// The value of the label of the metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::TooSlow => "too_slow",
            Self::Silent => "silent",
            Self::Replaced => "replaced",
            Self::TokenExpired => "token_expired",
            Self::Ended(_) => "ended",
            Self::Unreadable => "unreadable",
            Self::Fault(_) => "protocol",
            Self::Client(_) => "client",
        }
    }

    /// The code of the close frame; `None` for one without a code.
    pub fn code(self) -> Option<u16> {
        Some(match self {
            Self::Draining => 4000,
            Self::TooSlow => 4001,
            Self::Silent => 4002,
            Self::Replaced => 4003,
            Self::TokenExpired => 4004,
            Self::Ended(_) => 4500,
            Self::Unreadable => 4501,
            Self::Fault(fault) => fault.code(),
            Self::Client(code) => return code,
        })
    }

    /// The reason of the close frame.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Ended(reason) => reason,
            Self::Client(_) => "",
            Self::Fault(Fault::Protocol) => "a frame violates the protocol",
            Self::Fault(Fault::NotText) => "a text is not UTF-8",
            Self::Fault(Fault::TooLong) => "a message is too long",
            other => other.label(),
        }
    }

    /// Whether the client gets what waits before the close frame. One that reads too slowly does not.
    pub fn sends_rest(self) -> bool {
        !matches!(self, Self::TooSlow | Self::Silent)
    }

    /// The reason for the end of a session that is not valid any more.
    pub fn of_session(accounts: &Accounts, identity: Identity) -> Option<Self> {
        use crate::store::pulse::Reason;
        let revocations = accounts.revocations();
        match revocations.reason(identity.player) {
            Some(Reason::PlayerBanned) => return Some(Self::Ended("player_banned")),
            Some(Reason::PlayerDeleted) => return Some(Self::Ended("player_deleted")),
            _ => {}
        }
        revocations.reason(identity.session).map(|_| Self::Ended("session_ended"))
    }

    /// The reason for refusing a token.
    pub fn of_token(error: &accounts::Error) -> Self {
        match error {
            accounts::Error::TokenExpired => Self::TokenExpired,
            accounts::Error::Banned => Self::Ended("player_banned"),
            _ => Self::Ended("unauthenticated"),
        }
    }
}
