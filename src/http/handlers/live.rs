//! The upgrade of a connection to a socket.

use actix_http::ws::{HandshakeError, handshake_response, verify_handshake};
use actix_web::http::header::{
    HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
};
use actix_web::{HttpRequest, HttpResponse, web};
use url::Url;

use crate::api::problem::{Code, Problem};
use crate::domain::Language;
use crate::http::Api;
use crate::http::extract::accepted_language;
use crate::live::{Codec, Place};

/// A connection that may become a socket. The response with status 101 carries it.
pub struct Accepted {
    pub codec: Codec,
    pub place: Place,
    pub language: Option<Language>,
}

/// Opens a socket. docs/live.md describes the protocol.
pub async fn open_socket(
    api: web::Data<Api>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    if !api.live.is_enabled() {
        return Err(Problem::not_found("This path does not exist."));
    }
    if let Err(fault) = verify_handshake(request.head()) {
        return Ok(refused_handshake(fault));
    }
    let codec = protocol(request.headers()).ok_or_else(|| {
        let message = "must name idlewatt.v1.json or idlewatt.v1.msgpack";
        Problem::malformed(SEC_WEBSOCKET_PROTOCOL.as_str(), message)
    })?;
    if !may_open(&api, &request) {
        let detail = "Pages of this origin may not open sockets.";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    if api.health.is_draining() {
        return Err(Problem::unavailable("The server stops.", "draining"));
    }
    let place = api.live.admit(api.client_address(&request)).map_err(|full| {
        tracing::debug!(?full, "a socket was refused");
        Problem::busy_with("There are too many sockets.")
    })?;
    let response = handshake_response(request.head()).finish();
    let mut response = HttpResponse::from(response.map_into_boxed_body());
    let name = HeaderValue::from_static(codec.protocol());
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
    let language = accepted_language(&request);
    response.extensions_mut().insert(Accepted { codec, place, language });
    Ok(response)
}

fn refused_handshake(fault: HandshakeError) -> HttpResponse {
    let (header, message) = match fault {
        HandshakeError::GetMethodRequired => ("method", "must be GET"),
        HandshakeError::NoWebsocketUpgrade => ("Upgrade", "must be websocket"),
        HandshakeError::NoConnectionUpgrade => ("Connection", "must be Upgrade"),
        HandshakeError::NoVersionHeader | HandshakeError::UnsupportedVersion => {
            (SEC_WEBSOCKET_VERSION.as_str(), "must be 13")
        }
        HandshakeError::BadWebsocketKey => ("Sec-WebSocket-Key", "must be 16 bytes in Base64"),
    };
    let mut response = HttpResponse::from_error(Problem::malformed(header, message));
    if fault == HandshakeError::UnsupportedVersion {
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

/// The first protocol in the client's order that the server has.
fn protocol(headers: &HeaderMap) -> Option<Codec> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).find_map(|name| Codec::of_protocol(name.trim()))
}

/// Whether the page that asks may open a socket: one of this host, or of an allowed origin. Clients that are not browsers
/// send no origin.
fn may_open(api: &Api, request: &HttpRequest) -> bool {
    let Some(origin) = request.headers().get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    api.options.cors_allowed_origins.contain(origin) || is_same_host(origin, request, api)
}

/// Whether the origin has the host and port that the request was sent to, as the trusted proxy tells them.
fn is_same_host(origin: &str, request: &HttpRequest, api: &Api) -> bool {
    const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    let Ok(origin) = Url::parse(origin) else { return false };
    let headers = request.headers();
    let forwarded = headers.get(FORWARDED_HOST).filter(|_| api.options.trusted_proxy_hops > 0);
    let Some(host) = forwarded.or_else(|| headers.get(HOST)) else { return false };
    let Ok(host) = host.to_str() else { return false };
    // With the scheme of the origin, so that its usual port may be omitted in either.
    let requested = Url::parse(&format!("{}://{}", origin.scheme(), host.trim()));
    let is_plain = matches!(origin.scheme(), "http" | "https");
    is_plain && requested.is_ok_and(|requested| requested.origin() == origin.origin())
}
