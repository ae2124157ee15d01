//! The session cookie, which contains the refresh token of a web client. Scripts cannot read it.
//!
//! The cookie is `HttpOnly` and `SameSite=Strict`, has no `Domain`, and applies to all paths. At an address that
//! browsers consider secure (`https`, or a loopback host) it is `Secure`, and its name has the prefix `__Host-`, so
//! that no other host of the domain can set it (draft-ietf-httpbis-rfc6265bis, section 4.1.3). Elsewhere, for example
//! at an address of a local network without TLS, browsers would refuse such a cookie.
//!
//! A second cookie without a secret shows scripts that there is a session, so that the page of a new visitor need not
//! try to refresh one. The server sets it, because some browsers delete data that scripts store after a few days.
//!
//! Requests that use the cookie must have a JSON body and come from a page of the server's own origin or of a
//! configured origin. This prevents other pages from making a browser send them (CSRF).

use std::time::Duration;

use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::header::{HOST, HeaderName, ORIGIN};
use actix_web::{HttpRequest, HttpResponse};
use url::{Host, Url};

use crate::api::problem::{Code, Problem};
use crate::http::Api;

/// The name of the cookie at a secure address.
pub const SECURE_NAME: &str = "__Host-idlewatt-session";
const PLAIN_NAME: &str = "idlewatt-session";
/// The name of the second cookie, which scripts can read.
const HINT_NAME: &str = "idlewatt-signed-in";

/// The refresh token in the request's session cookie; `None` if there is no cookie.
///
/// # Errors
/// Returns [`Code::Forbidden`] if there is a cookie, but the request's origin may not use it.
pub fn refresh_token(request: &HttpRequest, api: &Api) -> Result<Option<String>, Problem> {
    let Some(cookie) = request.cookie(name(request)) else { return Ok(None) };
    let origin = text(request, &ORIGIN).unwrap_or_default();
    if is_own(origin, request) || api.options.cors_allowed_origins.contain(origin) {
        return Ok(Some(cookie.value().to_owned()));
    }
    let detail = "Only pages of the server's own origin or of a configured origin may use the session cookie.";
    Err(Problem::new(Code::Forbidden, detail))
}

/// Stores a refresh token in the client's cookie for the lifetime of the session.
pub fn set(response: &mut HttpResponse, request: &HttpRequest, token: &str, lifetime: Duration) {
    let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    add(response, request, [token, "1"], time::Duration::seconds(seconds));
}

/// Makes the client delete its cookies, if it sent a session cookie.
pub fn clear(response: &mut HttpResponse, request: &HttpRequest) {
    if request.cookie(name(request)).is_some() {
        add(response, request, ["", ""], time::Duration::ZERO);
    }
}

/// Sets both cookies to these values: the session cookie and the hint for scripts.
fn add(
    response: &mut HttpResponse,
    request: &HttpRequest,
    [value, hint]: [&str; 2],
    age: time::Duration,
) {
    for (name, value, is_secret) in [(name(request), value, true), (HINT_NAME, hint, false)] {
        let cookie = Cookie::build(name, value)
            .path("/")
            .http_only(is_secret)
            .same_site(SameSite::Strict)
            .secure(is_secure(request))
            .max_age(age)
            .finish();
        if let Err(error) = response.add_cookie(&cookie) {
            tracing::error!(%error, "a session cookie could not be set");
        }
    }
}

fn name(request: &HttpRequest) -> &'static str {
    if is_secure(request) { SECURE_NAME } else { PLAIN_NAME }
}

/// Whether browsers consider the page's address secure. The scheme is taken from the `Origin` header, because TLS may
/// end at a proxy. Clients that send no origin are not browsers and are treated as secure.
fn is_secure(request: &HttpRequest) -> bool {
    let Some(origin) = text(request, &ORIGIN).and_then(|origin| Url::parse(origin).ok()) else {
        return true;
    };
    let is_loopback = match origin.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    origin.scheme() != "http" || is_loopback
}

/// Whether the origin has the host to which the request was sent. The scheme is not compared, because TLS may end at a
/// proxy.
fn is_own(origin: &str, request: &HttpRequest) -> bool {
    let host = text(request, &HOST).unwrap_or_default();
    let origin = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    !host.is_empty() && origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
}

fn text<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}
