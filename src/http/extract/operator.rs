//! Authentication of operators.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use subtle::ConstantTimeEq;

use super::player::bearer;
use crate::api::problem::{Code, Problem};
use crate::http::Api;

/// A caller with the operator token.
#[derive(Clone, Copy, Debug)]
pub struct Operator;

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(check(request))
    }
}

fn check(request: &HttpRequest) -> Result<Operator, Problem> {
    let api = request
        .app_data::<web::Data<Api>>()
        .ok_or_else(|| Problem::internal("the application has no state"))?;
    let unknown = || Problem::not_found("This path does not exist.");
    api.options.admin_token.as_ref().ok_or_else(unknown)?;
    let token = bearer(request).transpose()?.ok_or_else(|| {
        Problem::new(
            Code::Unauthenticated,
            "Send the operator token in the header Authorization: Bearer.",
        )
    })?;
    if is_operator(token, api) {
        return Ok(Operator);
    }
    match api.accounts.identify(token) {
        Ok(_) => Err(Problem::new(Code::Forbidden, "This endpoint needs the operator token.")),
        Err(_) => Err(Problem::new(Code::Unauthenticated, "The operator token is wrong.")),
    }
}

/// Whether a token is the operator token.
pub fn is_operator(token: &str, api: &Api) -> bool {
    let expected = api.options.admin_token.as_ref();
    expected.is_some_and(|it| token.as_bytes().ct_eq(it.reveal().as_bytes()).into())
}
