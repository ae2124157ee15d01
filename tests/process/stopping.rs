//! Stopping the server, the health check, and idle connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::program::{Folder, Program, database_pid, runs, until};

#[tokio::test]
async fn a_graceful_shutdown_answers_requests_during_the_drain_delay() {
    let folder = Folder::new("graceful");
    let settings =
        [("DATA_DIR", folder.path().to_str().expect("text")), ("DRAIN_DELAY_SECONDS", "4")];
    let mut server = Program::start(&settings);
    let token = server.guest().await;
    let database = database_pid(folder.path());
    // An idle keep-alive connection must not delay the shutdown.
    let address = server.base.trim_start_matches("http://").to_owned();
    let mut idle = TcpStream::connect(&address).expect("connected");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
    let mut answer = [0; 64];
    assert!(idle.read(&mut answer).expect("answered") > 0);
    assert_eq!(server.call("GET", "/readyz", "", None).await.0, 200);
    server.signal("TERM");
    let (mut served, mut draining) = (0, false);
    while let Some((status, answer)) = server.try_call("GET", "/readyz", "", None).await {
        if status == 503 {
            assert_eq!(answer["status"], "draining");
            draining = true;
            let clicks = Some(json!({ "clicks": 1 }));
            let clicked = server.try_call("POST", "/api/v1/me/clicks", &token, clicks).await;
            let Some((status, _)) = clicked else { break };
            assert_eq!(status, 200);
            served += 1;
        }
    }
    assert!(draining && served > 0, "requests are served while the server drains");
    assert!(server.wait().success());
    until("the database process has ended", || (!runs(database)).then_some(()));
    idle.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).expect("the idle connection is closed");
}

#[tokio::test]
async fn sigint_stops_the_server_without_the_drain_delay() {
    let folder = Folder::new("interrupted");
    let settings = [
        ("DATA_DIR", folder.path().to_str().expect("text")),
        // If the server waited for this delay, the test would fail first.
        ("DRAIN_DELAY_SECONDS", "600"),
    ];
    let mut server = Program::start(&settings);
    server.signal("INT");
    assert!(server.wait().success());
}

#[test]
fn a_server_that_waits_for_its_database_can_be_stopped() {
    use crate::program::command;
    let secret = "s".repeat(32);
    let mut child = command(&[
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
        ("JWT_SECRET", &secret),
        ("PORT", "0"),
        ("METRICS_PORT", "0"),
        ("DRAIN_DELAY_SECONDS", "0"),
        ("LOG_FORMAT", "json"),
    ])
    .stderr(std::process::Stdio::piped())
    .spawn()
    .expect("the program runs");
    let mut log = std::io::BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("waiting for the database") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut log, &mut line).expect("text") > 0);
    }
    let entry: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
    assert_eq!(entry["level"], "WARN");
    crate::program::send_signal(child.id(), "TERM");
    let status = until("the program ends", || child.try_wait().expect("a child"));
    assert!(status.success());
}

/// A container image runs this command as its health check, because it contains no HTTP client.
#[tokio::test]
async fn the_health_check_fails_when_the_server_is_not_running() {
    use crate::program::run;
    let folder = Folder::new("healthcheck");
    let server = Program::start(&[
        ("DATA_DIR", folder.path().to_str().expect("text")),
        ("HOST", "0.0.0.0"),
        ("DRAIN_DELAY_SECONDS", "600"),
    ]);
    let port = server.base.rsplit(':').next().expect("a port").to_owned();
    let environment = [("HOST", "0.0.0.0"), ("PORT", port.as_str())];
    let check = |arguments: &[&str]| run(arguments, &environment).status.code();
    assert_eq!(check(&["healthcheck"]), Some(0));
    assert_eq!(check(&["healthcheck", "--ready"]), Some(0));
    server.signal("TERM");
    until("the server drains", || (check(&["healthcheck", "--ready"]) == Some(1)).then_some(()));
    assert_eq!(check(&["healthcheck"]), Some(0), "the server is alive while it drains");
    drop(server);
    assert_eq!(check(&["healthcheck"]), Some(1));
}

#[test]
fn an_idle_connection_is_closed_after_keep_alive_seconds() {
    let (short, long) = (Folder::new("keep-short"), Folder::new("keep-long"));
    let start = |folder: &Folder, seconds| {
        let data = ("DATA_DIR", folder.path().to_str().expect("text"));
        Program::start(&[data, ("KEEP_ALIVE_SECONDS", seconds)])
    };
    let (short, long) = (start(&short, "1"), start(&long, "600"));
    let connect = |server: &Program| {
        let stream = TcpStream::connect(server.base.trim_start_matches("http://"));
        let stream = stream.expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        stream
    };
    let send_request = |stream: &mut TcpStream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).expect("answered");
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
    };
    let mut kept_open = connect(&long);
    send_request(&mut kept_open);
    let mut closed = connect(&short);
    send_request(&mut closed);
    // The server closes this connection within the 30 s of the read timeout.
    assert_eq!(closed.read(&mut [0; 4096]).expect("closed without an error"), 0);
    send_request(&mut kept_open);
}
