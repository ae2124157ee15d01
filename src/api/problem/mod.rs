//! Problems (RFC 9457): what the API answers instead of a result. Each has a stable code for programs.

mod causes;
mod document;

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

pub use document::{RefusedAction, body as body_schema, schemas};

/// The code of a problem, for programs. Codes never change.
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
    /// The HTTP status of its answers, which other transports send as a number too.
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

    /// The name in JSON, and the title for people.
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
    /// For programs.
    code: &'static str,
    /// For support requests; the same as the header `X-Request-Id`.
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    /// Members of this kind of problem, such as `required` and `available`.
    #[serde(flatten)]
    extensions: &'a Members,
}

fn urn<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("urn:idlewatt:problem:{name}"))
}

/// Members of a problem, in order.
#[derive(Debug, Default)]
struct Members(Vec<(&'static str, Value)>);

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// An error that is answered to a client.
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
    /// For the log only.
    cause: Option<String>,
}

impl Problem {
    /// A problem with a code; `detail` is for people.
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

    /// Something in the path does not exist.
    pub fn not_found(what: &'static str) -> Self {
        Self::new(Code::NotFound, what)
    }

    /// The resource does not allow the method; `allow` lists the methods that it allows.
    pub fn method_not_allowed(allow: String) -> Self {
        let mut problem =
            Self::new(Code::MethodNotAllowed, format!("The allowed methods are {allow}."));
        problem.0.allow = Some(allow);
        problem
    }

    /// A field has an error that makes the request malformed.
    pub fn malformed(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(
            Code::InvalidRequest,
            vec![FieldError { field: field.into(), message: message.into() }],
        )
    }

    /// A field of a well-formed request has an unacceptable value.
    pub fn unacceptable(field: impl Into<String>, message: impl Into<String>) -> Self {
        let error = FieldError { field: field.into(), message: message.into() };
        Self::fields(Code::ValidationFailed, vec![error])
    }

    /// Several fields have errors.
    pub fn fields(code: Code, errors: Vec<FieldError>) -> Self {
        let said: Vec<_> = errors.iter().map(|it| format!("{} {}", it.field, it.message)).collect();
        let mut problem = Self::new(code, format!("{}.", said.join("; ")));
        problem.0.errors = errors;
        problem
    }

    /// There were too many calls. The same call is allowed after `millis` milliseconds.
    pub fn rate_limited(policy: &'static str, millis: u64) -> Self {
        let mut problem = Self::new(Code::RateLimited, "Retry after retry_after_ms milliseconds.")
            .with("retry_after_ms", millis)
            .with("policy", policy);
        problem.0.retry_after_seconds = Some(millis.div_ceil(1000).max(1));
        problem
    }

    /// The client should retry soon. `cause` is only logged.
    pub fn unavailable(detail: &'static str, cause: impl fmt::Display) -> Self {
        let mut problem = Self::new(Code::Unavailable, detail);
        problem.0.retry_after_seconds = Some(1);
        problem.0.cause = Some(cause.to_string());
        problem
    }

    /// The client should retry soon, because there are more requests than can be served. Not logged, because logging
    /// would be additional load.
    pub fn busy() -> Self {
        let mut problem =
            Self::new(Code::Unavailable, "The server is overloaded. Nothing was applied.");
        problem.0.retry_after_seconds = Some(1);
        problem
    }

    /// A fault of the server. `cause` is only logged.
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

    /// The code, for programs.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Seconds after which the same call may succeed; `None` if repeating it does not help.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.0.retry_after_seconds
    }

    /// The methods that the resource allows, as the header `Allow` lists them; only of [`Code::MethodNotAllowed`].
    pub fn allow(&self) -> Option<&str> {
        self.0.allow.as_deref()
    }

    /// What to log: faults of the server and of the stores; `None` for errors of clients.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The body, for a request with this id.
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        // Most bodies fit, so the buffer need not grow.
        let mut body = Vec::with_capacity(512);
        match serde_json::to_writer(&mut body, &self.content(request_id)) {
            Ok(()) => body,
            Err(_) => Vec::new(),
        }
    }

    /// The problem as a member of a larger answer, without a request id.
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
