//! Malformed input, which any client can send, must not be logged as an error.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::program::{Folder, Program, database_pid, free_port, send_signal, until};

/// The beginning of a TLS handshake, which a browser sends to an `https://` address.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x1b\x9e\x00\xff\xfe";

/// Sends bytes and reads until the server closes the connection.
fn send(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    // The server may close before it has read everything.
    stream.write_all(bytes).ok();
    stream.shutdown(Shutdown::Write).ok();
    stream.read_to_end(&mut Vec::new()).ok();
}

async fn broken_connections(metrics: u16) -> u64 {
    let url = format!("http://127.0.0.1:{metrics}/metrics");
    let text = reqwest::get(url).await.expect("an answer").text().await.expect("text");
    let line = text.lines().find_map(|it| it.strip_prefix("http_connections_broken_total "));
    line.expect("counted").parse().expect("a number")
}

#[tokio::test]
async fn malformed_input_is_counted_and_not_logged_as_an_error_at_any_level() {
    let long = vec![b'a'; 300_000];
    let request = b"GET /healthz HTTP/1.1\r\nHost: test\r\n";
    let malformed = [&request[..], b"no header\r\n\r\n"].concat();
    let endless = [&request[..], b"X: ", &long].concat();
    let twice = [&request[..], b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"].concat();
    let shapes = [CLIENT_HELLO, &malformed, &endless, &twice, &long, b"\0\r\n\r\n"];
    for filter in ["", "info,actix_http=trace,actix_server=trace", "error", "trace"] {
        let (folder, metrics) = (Folder::new("malformed-input"), free_port());
        let port = metrics.to_string();
        let server = Program::start(&[
            ("DATA_DIR", folder.path().to_str().expect("text")),
            ("METRICS_PORT", &port),
            ("RUST_LOG", filter),
        ]);
        let api = server.base.rsplit(':').next().and_then(|port| port.parse().ok());
        let mut sent = 0;
        for port in [api.expect("a port"), metrics] {
            for bytes in shapes {
                send(port, bytes);
                sent += 1;
            }
        }
        // A connection is counted before it is closed.
        let counted = broken_connections(metrics).await;
        assert!(counted >= sent, "{counted} of {sent} with RUST_LOG={filter}");
        assert_eq!(server.call("GET", "/healthz", "", None).await.0, 200);
        // Causes a line that is logged at every level, so that the log is complete when the line appears.
        send_signal(database_pid(folder.path()), "KILL");
        let log = until("the last line is logged", || {
            let log = server.log();
            log.contains("ended unexpectedly").then_some(log)
        });
        let actix_error = log.lines().find(|line| {
            line.contains("actix") && (line.contains("ERROR") || line.contains("WARN"))
        });
        assert_eq!(actix_error, None, "with RUST_LOG={filter}");
    }
}
