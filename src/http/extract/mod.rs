//! Extractors: validated parts of requests for handlers.

mod body;
pub mod client_address;
pub mod forwarded;
mod idempotency;
mod language;
mod operator;
mod player;
mod query;

pub use crate::http::token_cache::Caller;
pub use body::Body;
pub use idempotency::Key;
pub use language::{accepted_language, language};
pub use operator::{Operator, is_operator};
pub use player::{MaybeCaller, bearer, former_caller};
pub use query::{Query, page_limit};

use actix_web::HttpRequest;
use actix_web::http::header;
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::domain::Slug;

/// The `User-Agent` of the client.
pub fn user_agent(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::USER_AGENT)?.to_str().ok()
}

/// The item id in a segment of the path.
pub fn slug(text: &str, missing: &'static str) -> Result<Slug, Problem> {
    Slug::try_from(text).map_err(|_| Problem::not_found(missing))
}

/// The UUID in a segment of the path.
pub fn id(text: &str, missing: &'static str) -> Result<Uuid, Problem> {
    // Accept only the hyphenated form, so that each resource has a single URL.
    let is_hyphenated = text.len() == 36;
    Uuid::try_parse(text).ok().filter(|_| is_hyphenated).ok_or_else(|| Problem::not_found(missing))
}
