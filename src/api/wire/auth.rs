//! Signing in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::time::rfc3339;
use crate::accounts::{SignedIn, Tokens};
use crate::store::sessions::ListedSession;

/// A request to create a guest, which has no members.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestRequest {}

/// A registration.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Stored in lower case; unique.
    #[schema(min_length = 3, max_length = 24, pattern = "^[A-Za-z0-9_]+$", example = "ada")]
    pub username: String,
    #[schema(min_length = 8, max_length = 128, example = "correct horse battery")]
    pub password: String,
    /// 1 to 24 characters as people count them and at most 256 bytes, without surrounding white space. At least one
    /// must be visible, and none may be a control character or change the direction of text. The default is the
    /// username, or the guest's present name.
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
    /// Valid for one refresh.
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
    /// The `User-Agent` with which the session was created; null if there was none.
    #[schema(required)]
    pub user_agent: Option<String>,
    /// Whether the request belongs to this session.
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
    /// A session in the list of the session `current`.
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
