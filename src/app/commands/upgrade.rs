//! Checks whether sockets reach the server at its public address, through all proxies before it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use url::Url;

use crate::store::{Identity, tls_connector};

const LIMIT: Duration = Duration::from_secs(10);
/// A frame that every server answers by closing the connection with [`REFUSED`].
const HELLO: &str = r#"{"type":"hello","token":"none"}"#;
const REFUSED: u16 = 4500;

/// Opens a socket at the public address as a page of that address does, and exchanges frames on it.
///
/// # Errors
/// Returns what is wrong and how to fix it.
pub async fn check_upgrade(address: &Url) -> Result<String, String> {
    let checked = timeout(LIMIT, connect(address)).await;
    checked.unwrap_or_else(|_| Err(format!("{address} does not answer within 10 s")))
}

async fn connect(address: &Url) -> Result<String, String> {
    let host = address.host_str().ok_or("the address has no host")?;
    let port = address.port_or_known_default().ok_or("the address has no port")?;
    let unreachable = |error: std::io::Error| format!("{host}:{port}: {error}");
    // An IPv6 address is written in brackets in an address, and without them elsewhere.
    let name = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((name, port)).await.map_err(unreachable)?;
    if address.scheme() == "http" {
        return exchange(address, stream).await;
    }
    let server = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    // With the certificate authorities that browsers know.
    let tls = tls_connector(Identity::Name, None).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(tls));
    let stream = connector.connect(server, stream).await.map_err(unreachable)?;
    exchange(address, stream).await
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    address: &Url,
    stream: S,
) -> Result<String, String> {
    let origin = address.origin().ascii_serialization();
    let scheme = if address.scheme() == "http" { "ws" } else { "wss" };
    let target = origin.replacen(address.scheme(), scheme, 1) + "/api/v1/live";
    let mut request = target.as_str().into_client_request().map_err(|error| error.to_string())?;
    let origin = HeaderValue::from_str(&origin).map_err(|error| error.to_string())?;
    request.headers_mut().insert(ORIGIN, origin);
    let protocol = HeaderValue::from_static("idlewatt.v1.json");
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    let (mut socket, _) = client_async(request, stream).await.map_err(|error| match error {
        Error::Http(response) => refused(response.status()),
        error => format!("{target}: {error}: let the proxy pass on the upgrade to WebSocket"),
    })?;
    let lost =
        "no frames get through: let the proxy pass on the upgrade to WebSocket, without a buffer";
    socket.send(HELLO.into()).await.map_err(|error| format!("{error}: {lost}"))?;
    while let Some(message) = socket.next().await {
        if let Ok(Message::Close(Some(frame))) = message
            && u16::from(frame.code) == REFUSED
        {
            return Ok(format!("sockets open at {target}, and frames get through"));
        }
    }
    Err(lost.to_owned())
}

/// What an answer to the request for an upgrade means.
fn refused(status: StatusCode) -> String {
    let remedy = match status.as_u16() {
        403 => {
            "let the proxy pass on Host, or X-Forwarded-Host with TRUSTED_PROXY_HOPS, or add the page's origin to CORS_ALLOWED_ORIGINS"
        }
        404 => "set LIVE=on, and check that the proxy sends /api/v1/live to the server",
        503 => "the server stops, or has as many sockets as LIVE_MAX_CONNECTIONS allows",
        _ => "let the proxy pass on the headers Connection, Upgrade and Sec-WebSocket-*",
    };
    format!("the upgrade is answered {status}: {remedy}")
}
