//! Authentication of players.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};

use crate::accounts::{self, Identity};
use crate::api::problem::{Code, Problem};
use crate::http::Api;
use crate::http::thread_state::thread_state;
use crate::http::token_cache::Caller;

/// The identity of the access token; `None` if the request has no token. An invalid token is refused.
#[derive(Clone, Copy, Debug)]
pub struct MaybeCaller(pub Option<Identity>);

/// The token of the `Authorization` header; `None` if there is no such header.
pub fn bearer(request: &HttpRequest) -> Option<Result<&str, Problem>> {
    let value = request.headers().get(header::AUTHORIZATION)?;
    let token = value.as_bytes().split_first_chunk().and_then(|(scheme, token): (&[u8; 7], _)| {
        let token = str::from_utf8(token.trim_ascii()).ok()?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    });
    Some(token.ok_or_else(|| {
        Problem::new(Code::Unauthenticated, "The Authorization header must be a Bearer token.")
    }))
}

fn identify(request: &HttpRequest) -> Result<Option<Caller>, Problem> {
    let api = request
        .app_data::<web::Data<Api>>()
        .ok_or_else(|| Problem::internal("the application has no state"))?;
    let Some(token) = bearer(request).transpose()? else { return Ok(None) };
    Ok(Some(thread_state(request)?.authenticate(token, api)?))
}

impl FromRequest for MaybeCaller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(identify(request).map(|caller| Self(caller.map(|it| it.identity))))
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let missing = || {
            Problem::new(
                Code::Unauthenticated,
                "Send the access token in the header Authorization: Bearer.",
            )
        };
        ready(identify(request).and_then(|caller| caller.ok_or_else(missing)))
    }
}

/// The identity of the access token, even if its session was revoked or its player deleted. `None` if there is no token
/// or the token is expired or invalid.
pub fn former_caller(request: &HttpRequest, api: &Api) -> Result<Option<Identity>, Problem> {
    match bearer(request).transpose()? {
        Some(token) => match api.accounts.identify(token) {
            Ok(identity) => Ok(Some(identity)),
            Err(accounts::Error::TokenExpired | accounts::Error::Unauthenticated) => Ok(None),
            Err(error) => Err(error.into()),
        },
        None => Ok(None),
    }
}
