//! Signing in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::time::rfc3339;
use crate::accounts::{SignedIn, Tokens};
use crate::store::sessions::ListedSession;

/// Nothing is asked of a guest.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestRequest {}

/// A name to sign in by.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Kept in lower case, and nobody else's.
    #[schema(min_length = 3, max_length = 24, pattern = "^[A-Za-z0-9_]+$", example = "ada")]
    pub username: String,
    #[schema(min_length = 8, max_length = 128, example = "correct horse battery")]
    pub password: String,
    /// 1 to 24 characters as people count them and at most 256 bytes, without the space around them; at least one can be seen,
    /// and none is a control character or turns the direction of text. The username, or the guest's name, where absent.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256, example = "Ada")]
    pub display_name: Option<String>,
}

/// Username and password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    pub username: String,
    pub password: String,
}

/// A refresh token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    pub refresh_token: String,
}

/// A change of password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    pub current_password: String,
    #[schema(min_length = 8, max_length = 128, example = "correct horse battery")]
    pub new_password: String,
}

/// Who signed in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignedInPlayer)]
pub struct PlayerWire {
    pub id: Uuid,
    pub display_name: String,
    /// Null for guests, who have none.
    #[schema(required)]
    pub username: Option<String>,
}

/// What a client holds of a session.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tokens)]
pub struct TokensWire {
    /// Sent as `Authorization: Bearer`.
    pub access_token: String,
    pub token_type: TokenTypeWire,
    /// Seconds that the access token holds.
    pub expires_in: u64,
    /// Good for one refresh.
    pub refresh_token: String,
}

/// How an access token is sent.
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
    /// What the client called itself; null where it did not.
    #[schema(required)]
    pub user_agent: Option<String>,
    /// Whether it is the session that asks.
    pub current: bool,
}

impl From<Tokens> for TokensWire {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access_token,
            token_type: TokenTypeWire::Bearer,
            expires_in: tokens.expires_in.as_secs(),
            refresh_token: tokens.refresh_token,
        }
    }
}

impl From<SignedIn> for SignedInWire {
    fn from(signed_in: SignedIn) -> Self {
        let SignedIn { player, display_name, username, tokens } = signed_in;
        Self { player: PlayerWire { id: player, display_name, username }, tokens: tokens.into() }
    }
}

impl SessionWire {
    /// A session as seen from the session `current`.
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
