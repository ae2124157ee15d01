//! Requests and responses of authentication and sessions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::time::rfc3339;
use crate::accounts::{SignedIn, Tokens};
use crate::store::sessions::ListedSession;

/// How the client gets the refresh token of a new session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SessionKind)]
pub enum SessionKindWire {
    /// In the response body.
    #[default]
    Token,
    /// In an `HttpOnly` cookie, for web pages: scripts cannot read it.
    Cookie,
}

/// A request to create a guest.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestRequest {
    #[serde(default)]
    pub session: SessionKindWire,
}

/// A registration.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Stored in lower case; unique.
    #[schema(min_length = 3, max_length = 24, pattern = "^[A-Za-z0-9_]+$", example = "ada")]
    pub username: String,
    #[schema(min_length = 8, max_length = 128, example = "correct horse battery")]
    pub password: String,
    /// 1 to 24 user-perceived characters (grapheme clusters) and at most 256 bytes, without surrounding white space. At
    /// least one must be visible, and none may be a control character or change the direction of text. The default is
    /// the guest's current name, or the username for a new player.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256, example = "Ada")]
    pub display_name: Option<String>,
    #[serde(default)]
    pub session: SessionKindWire,
}

/// Username and password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    pub username: String,
    pub password: String,
    #[serde(default)]
    pub session: SessionKindWire,
}

/// A refresh token. If it is absent, the token in the session cookie is used.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    #[serde(default)]
    #[schema(nullable = false)]
    pub refresh_token: Option<String>,
}

/// A request to end the session. It has no members.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogoutRequest {}

/// A request to change the password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    pub current_password: String,
    #[schema(min_length = 8, max_length = 128, example = "correct horse battery")]
    pub new_password: String,
}

/// The player who signed in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignedInPlayer)]
pub struct PlayerWire {
    pub id: Uuid,
    pub display_name: String,
    /// Null for guests.
    #[schema(required)]
    pub username: Option<String>,
}

/// The tokens of a session.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tokens)]
pub struct TokensWire {
    /// Sent as `Authorization: Bearer`.
    pub access_token: String,
    pub token_type: TokenTypeWire,
    /// Seconds for which the access token is valid.
    pub expires_in: u64,
    /// Can be used for one refresh. Absent if it is in the session cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refresh_token: Option<String>,
}

/// The scheme with which an access token is sent.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = TokenType)]
pub enum TokenTypeWire {
    Bearer,
}

/// A player and its tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub struct SignedInWire {
    pub player: PlayerWire,
    pub tokens: TokensWire,
}

/// New tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refreshed)]
pub struct RefreshedWire {
    pub tokens: TokensWire,
}

/// A session of the player.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionWire {
    pub id: Uuid,
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When its refresh token was last replaced.
    #[schema(format = DateTime)]
    pub last_refreshed_at: String,
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// The `User-Agent` with which the session was created; null if there was none.
    #[schema(required)]
    pub user_agent: Option<String>,
    /// Whether the request belongs to this session.
    pub current: bool,
}

impl TokensWire {
    /// The tokens for the response body, and the refresh token for the cookie if the session uses one.
    pub fn new(tokens: Tokens, kind: SessionKindWire) -> (Self, Option<String>) {
        let (shown, cookie) = match kind {
            SessionKindWire::Token => (Some(tokens.refresh_token), None),
            SessionKindWire::Cookie => (None, Some(tokens.refresh_token)),
        };
        let tokens = Self {
            access_token: tokens.access_token,
            token_type: TokenTypeWire::Bearer,
            expires_in: tokens.expires_in.as_secs(),
            refresh_token: shown,
        };
        (tokens, cookie)
    }
}

impl SignedInWire {
    /// Like [`TokensWire::new`], for a player who has just signed in.
    pub fn new(signed_in: SignedIn, kind: SessionKindWire) -> (Self, Option<String>) {
        let SignedIn { player, display_name, username, tokens } = signed_in;
        let (tokens, cookie) = TokensWire::new(tokens, kind);
        (Self { player: PlayerWire { id: player, display_name, username }, tokens }, cookie)
    }
}

impl SessionWire {
    /// A session in the list that is requested by the session `current`.
    pub fn new(session: ListedSession, current: Uuid) -> Self {
        Self {
            id: session.id,
            created_at: rfc3339(session.created_at),
            last_refreshed_at: rfc3339(session.refreshed_at),
            expires_at: rfc3339(session.expires_at),
            user_agent: session.user_agent,
            current: session.id == current,
        }
    }
}
