//! `idlewatt healthcheck`: requests the health of the server that runs with the same configuration. Containers need it,
//! because the image contains no other HTTP client.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::app::Error;
use crate::config::HttpConfig;

const LIMIT: Duration = Duration::from_secs(3);
/// Only the first line of the answer is needed.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Checks whether the server is alive or, with `ready`, whether it should receive requests.
///
/// # Errors
/// Returns an error if the server does not answer within three seconds, or does not answer 200.
pub fn check_health(config: &HttpConfig, ready: bool) -> Result<(), Error> {
    let path = if ready { "/readyz" } else { "/healthz" };
    let address = SocketAddr::new(reachable(config.host), config.port);
    let answer =
        ask(address, path).map_err(|error| Error::Other(format!("{address}{path}: {error}")))?;
    let status = answer.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(Error::Other(format!("{address}{path}: {status}")))
}

/// The address at which a server that listens on `host` is reached from the same machine.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
