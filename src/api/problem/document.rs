//! The schemas of problems in the OpenAPI document. Each code has its own schema, so that clients know from `code`
//! which members the problem has.

use std::borrow::Cow;

use utoipa::openapi::schema::{
    AllOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type,
};
use utoipa::openapi::{KnownFormat, Ref, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use super::Code;
use crate::limit::Policy;

/// The schema of the human-readable members of every problem.
const DETAILS: &str = "ProblemDetails";
/// The schema of the member that identifies the request.
const TRACE: &str = "RequestTrace";

impl Code {
    /// Every code.
    pub const ALL: [Self; 22] = [
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::TokenExpired,
        Self::InvalidCredentials,
        Self::Forbidden,
        Self::PlayerBanned,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::InsufficientEnergy,
        Self::RequirementNotMet,
        Self::AlreadyOwned,
        Self::NothingToGain,
        Self::UsernameTaken,
        Self::AlreadyRegistered,
        Self::VersionMismatch,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::ValidationFailed,
        Self::IdempotencyKeyReused,
        Self::RateLimited,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The codes with which a single action of a batch may be refused.
    const OF_ACTIONS: [Self; 4] =
        [Self::NotFound, Self::InsufficientEnergy, Self::RequirementNotMet, Self::AlreadyOwned];

    /// The name of the schema, such as `InsufficientEnergyProblem`.
    fn schema_name(self) -> String {
        let words = self.names().0.split('_').map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        });
        words.chain(["Problem".to_owned()]).collect()
    }

    fn reference(self) -> Ref {
        Ref::from_schema_name(self.schema_name())
    }

    /// The schema of problems with this code, without `request_id`.
    fn schema(self) -> Schema {
        let (name, title) = self.names();
        let mut object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("code", only(Type::String, name))
            .property("status", only(Type::Integer, self.status()))
            .required("code")
            .required("status");
        for (name, schema) in self.members() {
            object = object.property(name, schema).required(name);
        }
        if self == Self::RequirementNotMet {
            object = object.property("requires", Ref::from_schema_name("Requirement"));
        }
        let all = AllOfBuilder::new().item(Ref::from_schema_name(DETAILS)).item(object);
        all.description(Some(title)).build().into()
    }

    /// The additional members that a problem with this code always has.
    fn members(self) -> Vec<(&'static str, RefOr<Schema>)> {
        let amount = || number(Type::Number, KnownFormat::Double);
        let count = || number(Type::Integer, KnownFormat::Int64);
        match self {
            Self::InvalidRequest | Self::ValidationFailed => {
                let errors = ArrayBuilder::new().items(Ref::from_schema_name("FieldError"));
                vec![("errors", errors.build().into())]
            }
            Self::InsufficientEnergy => vec![("required", amount()), ("available", amount())],
            Self::NothingToGain => vec![("required_lifetime_energy", amount())],
            Self::VersionMismatch => vec![("version", count())],
            Self::RateLimited => {
                let names = Policy::ALL.map(Policy::name);
                let policy =
                    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
                vec![("retry_after_ms", count()), ("policy", policy.build().into())]
            }
            _ => Vec::new(),
        }
    }
}

/// A schema with a single value.
fn only(kind: Type, value: impl Into<serde_json::Value>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind).enum_values(Some([value.into()]))
}

fn number(kind: Type, format: KnownFormat) -> RefOr<Schema> {
    let number = ObjectBuilder::new().schema_type(kind).minimum(Some(0));
    number.format(Some(SchemaFormat::KnownFormat(format))).build().into()
}

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

/// One of several problems, distinguished by `code`.
fn one_of(codes: &[Code]) -> RefOr<Schema> {
    match codes {
        [code] => code.reference().into(),
        codes => {
            let one =
                codes.iter().fold(OneOfBuilder::new(), |one, code| one.item(code.reference()));
            Schema::from(one.build()).into()
        }
    }
}

/// The schema of a response body that is one of these problems.
pub fn body(codes: &[Code]) -> Schema {
    AllOfBuilder::new().item(Ref::from_schema_name(TRACE)).item(one_of(codes)).build().into()
}

/// The schemas of all problems, with their names.
pub fn schemas() -> Vec<(String, Schema)> {
    let details = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("The members that every problem has."))
        .property("type", text("The code, as a URN: `urn:idlewatt:problem:insufficient_energy`"))
        .property("title", text("A human-readable title of the code"))
        .property("detail", text("A human-readable explanation of this occurrence"))
        .required("type")
        .required("title")
        .required("detail");
    let trace = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Identifies the request that failed."))
        .property("request_id", text("The value of `X-Request-Id`, for support requests"))
        .required("request_id");
    let any = AllOfBuilder::new()
        .description(Some(
            "The body of every error response (RFC 9457). The machine-readable `code` determines which other \
             members are present. All codes are listed here.",
        ))
        .item(Ref::from_schema_name(TRACE))
        .item(one_of(&Code::ALL));
    let shared: [(&str, Schema); 3] = [
        (DETAILS, details.build().into()),
        (TRACE, trace.build().into()),
        ("Problem", any.build().into()),
    ];
    let shared = shared.map(|(name, schema)| (name.to_owned(), schema));
    shared.into_iter().chain(Code::ALL.map(|code| (code.schema_name(), code.schema()))).collect()
}

/// The schema of the problem of one refused action in a batch.
#[derive(Debug)]
pub struct RefusedAction;

impl PartialSchema for RefusedAction {
    fn schema() -> RefOr<Schema> {
        one_of(&Code::OF_ACTIONS)
    }
}

impl ToSchema for RefusedAction {
    fn name() -> Cow<'static, str> {
        "RefusedAction".into()
    }
}
