//! Query strings.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use crate::api::problem::Problem;

/// A parsed query string.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request.query_string()).map(Self))
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    serde_urlencoded::from_str(query).map_err(|error| {
        let field = parameter_at_fault::<T>(query).unwrap_or_else(|| "query".to_owned());
        Problem::malformed(field, error.to_string())
    })
}

/// The first parameter that does not parse when it is the only one. This works because no query has required
/// parameters.
fn parameter_at_fault<T: DeserializeOwned>(query: &str) -> Option<String> {
    let parameters: Vec<(String, String)> = serde_urlencoded::from_str(query).ok()?;
    let refused = |parameter: &(String, String)| {
        let alone = serde_urlencoded::to_string([parameter]).unwrap_or_default();
        serde_urlencoded::from_str::<T>(&alone).is_err()
    };
    parameters.into_iter().find(refused).map(|(name, _)| name)
}

/// The number of entries of a page: 50 by default, at most 100.
///
/// # Errors
/// Returns 400 for any other number.
pub fn page_limit(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(50);
    let message = "must be a whole number from 1 to 100";
    if (1..=100).contains(&limit) { Ok(limit) } else { Err(Problem::malformed("limit", message)) }
}
