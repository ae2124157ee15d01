//! Problems (RFC 9457): the error responses of the API. Each has a stable, machine-readable code.

mod causes;
mod document;

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

pub use document::{RefusedAction, body as body_schema, schemas};

/// The machine-readable code of a problem. Codes never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    InvalidRequest,
    Unauthenticated,
    TokenExpired,
    InvalidCredentials,
    Forbidden,
    PlayerBanned,
    NotFound,
    MethodNotAllowed,
    InsufficientEnergy,
    RequirementNotMet,
    AlreadyOwned,
    NothingToGain,
    UsernameTaken,
    AlreadyRegistered,
    VersionMismatch,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
    IdempotencyKeyReused,
    RateLimited,
    Internal,
    Unavailable,
}

impl Code {
    /// The HTTP status. Other transports send the same number.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthenticated | Self::TokenExpired | Self::InvalidCredentials => 401,
            Self::Forbidden | Self::PlayerBanned => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::InsufficientEnergy
            | Self::RequirementNotMet
            | Self::AlreadyOwned
            | Self::NothingToGain
            | Self::UsernameTaken
            | Self::AlreadyRegistered
            | Self::VersionMismatch => 409,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::ValidationFailed | Self::IdempotencyKeyReused => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The name in JSON, and the human-readable title.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidRequest => ("invalid_request", "The request is malformed"),
            Self::Unauthenticated => ("unauthenticated", "A valid token is required"),
            Self::TokenExpired => ("token_expired", "The token has expired"),
            Self::InvalidCredentials => ("invalid_credentials", "Wrong username or password"),
            Self::Forbidden => ("forbidden", "This is not allowed"),
            Self::PlayerBanned => ("player_banned", "The player is banned"),
            Self::NotFound => ("not_found", "Not found"),
            Self::MethodNotAllowed => ("method_not_allowed", "Method not allowed"),
            Self::InsufficientEnergy => ("insufficient_energy", "Not enough energy"),
            Self::RequirementNotMet => ("requirement_not_met", "A requirement is not met"),
            Self::AlreadyOwned => ("already_owned", "The upgrade is already owned"),
            Self::NothingToGain => ("nothing_to_gain", "Prestige would add no core"),
            Self::UsernameTaken => ("username_taken", "The username is taken"),
            Self::AlreadyRegistered => ("already_registered", "The player is already registered"),
            Self::VersionMismatch => ("version_mismatch", "The version does not match"),
            Self::PayloadTooLarge => ("payload_too_large", "The body is too large"),
            Self::UnsupportedMediaType => ("unsupported_media_type", "The body must be JSON"),
            Self::ValidationFailed => ("validation_failed", "A value is invalid"),
            Self::IdempotencyKeyReused => {
                ("idempotency_key_reused", "The idempotency key was used for another request")
            }
            Self::RateLimited => ("rate_limited", "Too many requests"),
            Self::Internal => ("internal", "Internal server error"),
            Self::Unavailable => ("unavailable", "The service is temporarily unavailable"),
        }
    }
}

/// A field with an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The path of the field, such as `quantity` or `actions[2].id`.
    #[schema(example = "quantity")]
    pub field: String,
    pub message: String,
}

/// The body of every error: `application/problem+json`.
#[derive(Debug, Serialize)]
struct ProblemBody<'a> {
    /// Identifies the kind of problem: the code as a URN.
    #[serde(rename = "type", serialize_with = "urn")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    /// The machine-readable code.
    code: &'static str,
    /// Equal to the header `X-Request-Id`. Players quote it in support requests.
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    /// Additional members of this kind of problem, such as `required` and `available`.
    #[serde(flatten)]
    extensions: &'a Members,
}

fn urn<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("urn:idlewatt:problem:{name}"))
}

/// The additional members of a problem, in order.
#[derive(Debug, Default)]
struct Members(Vec<(&'static str, Value)>);

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// An error response.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    extensions: Members,
    retry_after_seconds: Option<u64>,
    allow: Option<String>,
    /// The internal cause, which is logged and never sent to the client.
    cause: Option<String>,
}

impl Problem {
    /// A problem with a code and a human-readable `detail`.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            extensions: Members::default(),
            retry_after_seconds: None,
            allow: None,
            cause: None,
        }))
    }

    /// A resource that the path names does not exist.
    pub fn not_found(detail: &'static str) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// The resource does not allow the method; `allow` lists the methods that it allows.
    pub fn method_not_allowed(allow: String) -> Self {
        let mut problem =
            Self::new(Code::MethodNotAllowed, format!("The allowed methods are {allow}."));
        problem.0.allow = Some(allow);
        problem
    }

    /// The request is malformed because of an error in one field.
    pub fn malformed(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(
            Code::InvalidRequest,
            vec![FieldError { field: field.into(), message: message.into() }],
        )
    }

    /// The request is well-formed, but a field has an invalid value.
    pub fn unacceptable(field: impl Into<String>, message: impl Into<String>) -> Self {
        let error = FieldError { field: field.into(), message: message.into() };
        Self::fields(Code::ValidationFailed, vec![error])
    }

    /// Several fields have errors.
    pub fn fields(code: Code, errors: Vec<FieldError>) -> Self {
        let texts: Vec<_> =
            errors.iter().map(|it| format!("{} {}", it.field, it.message)).collect();
        let mut problem = Self::new(code, format!("{}.", texts.join("; ")));
        problem.0.errors = errors;
        problem
    }

    /// The client exceeded a rate limit. The same call is allowed after `millis` milliseconds.
    pub fn rate_limited(policy: &'static str, millis: u64) -> Self {
        let mut problem = Self::new(Code::RateLimited, "Retry after retry_after_ms milliseconds.")
            .with("retry_after_ms", millis)
            .with("policy", policy);
        problem.0.retry_after_seconds = Some(millis.div_ceil(1000).max(1));
        problem
    }

    /// A temporary failure: the client should retry soon. `cause` is logged and not sent.
    pub fn unavailable(detail: &'static str, cause: impl fmt::Display) -> Self {
        let mut problem = Self::new(Code::Unavailable, detail);
        problem.0.retry_after_seconds = Some(1);
        problem.0.cause = Some(cause.to_string());
        problem
    }

    /// The server is overloaded: the client should retry soon. Has no cause to log, because logging would add load.
    pub fn busy() -> Self {
        let mut problem =
            Self::new(Code::Unavailable, "The server is overloaded. Nothing was applied.");
        problem.0.retry_after_seconds = Some(1);
        problem
    }

    /// As [`Problem::busy`], with another detail.
    pub fn busy_with(detail: &'static str) -> Self {
        let mut problem = Self::busy();
        problem.0.detail = detail.into();
        problem
    }

    /// A bug or fault of the server. `cause` is logged and not sent.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let mut problem = Self::new(Code::Internal, "The error was logged with this request id.");
        problem.0.cause = Some(cause.to_string());
        problem
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.extensions.0.push((name, value.into()));
        self
    }

    /// The machine-readable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Seconds after which the same call may succeed; `None` if repeating it does not help.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.0.retry_after_seconds
    }

    /// The value of the header `Allow`; `None` unless the code is [`Code::MethodNotAllowed`].
    pub fn allow(&self) -> Option<&str> {
        self.0.allow.as_deref()
    }

    /// The cause to log, for faults of the server and of the stores; `None` for errors of clients.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The JSON body for the request with this id.
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        // Most bodies are shorter, so the buffer need not grow.
        let mut body = Vec::with_capacity(512);
        match serde_json::to_writer(&mut body, &self.content(request_id)) {
            Ok(()) => body,
            Err(_) => Vec::new(),
        }
    }

    /// The problem as a member of a larger response, without a request id.
    pub fn to_value(&self) -> Value {
        let mut value = serde_json::to_value(self.content("")).unwrap_or_default();
        if let Some(members) = value.as_object_mut() {
            members.remove("request_id");
        }
        value
    }

    fn content<'a>(&'a self, request_id: &'a str) -> ProblemBody<'a> {
        let Parts { code, detail, errors, extensions, .. } = &*self.0;
        let (name, title) = code.names();
        ProblemBody {
            kind: name,
            title,
            status: code.status(),
            detail,
            code: name,
            request_id,
            errors,
            extensions,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.names().0, self.0.detail)
    }
}
