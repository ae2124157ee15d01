//! Exported telemetry: spans to a collector, errors to Sentry. Only in builds with both features.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::program::{Folder, Program, database_pid, free_port, send_signal, until};
use crate::redis::RedisServer;
use crate::spans::{Span, spans};

/// Accepts everything that is posted to it.
struct Inbox {
    port: u16,
    /// Requests as they arrived, heads and bodies.
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Inbox {
    fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let inbox = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || take(stream, &inbox));
            }
        });
        Self { port, requests }
    }

    /// Everything that arrived, one after the other.
    fn contents(&self) -> Vec<u8> {
        self.requests.lock().expect("not poisoned").concat()
    }

    /// Every span that arrived.
    fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().expect("not poisoned");
        let bodies = requests.iter().map(|request| {
            let head = request.windows(4).position(|it| it == b"\r\n\r\n").expect("a head");
            &request[head + 4..]
        });
        bodies.flat_map(spans).collect()
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.contents().windows(bytes.len()).any(|it| it == bytes)
    }
}

fn take(mut stream: TcpStream, inbox: &Mutex<Vec<Vec<u8>>>) {
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let (mut bytes, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        let Ok(length @ 1..) = stream.read(&mut chunk) else { return };
        bytes.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some(head) = text.find("\r\n\r\n") else { continue };
        let stated = text[..head].split("content-length: ").nth(1);
        let stated: usize =
            stated.and_then(|it| it.split("\r\n").next()?.parse().ok()).unwrap_or(0);
        let chunked = text[..head].contains("chunked");
        // The lossy text may be longer than the bytes, but the head is ASCII.
        let whole =
            if chunked { text.ends_with("0\r\n\r\n") } else { bytes.len() >= head + 4 + stated };
        if whole {
            inbox.lock().expect("not poisoned").push(std::mem::take(&mut bytes));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").ok();
        }
    }
}

fn start(folder: &Folder, variables: &[(&str, &str)]) -> Program {
    let data = ("DATA_DIR", folder.path().to_str().expect("text"));
    Program::start(&[&[data, ("DRAIN_DELAY_SECONDS", "0")], variables].concat())
}

/// Whether Redis has decided a player's call.
async fn asks_redis(metrics: u16) -> bool {
    let url = format!("http://127.0.0.1:{metrics}/metrics");
    let text = reqwest::get(url).await.expect("an answer").text().await.expect("text");
    let decided = text.lines().filter(|line| line.starts_with("rate_limit_decisions_total"));
    let mut by_redis = decided
        .filter(|line| line.contains("policy=\"player\"") && line.contains("store=\"redis\""));
    by_redis.any(|line| !line.ends_with(" 0"))
}

#[tokio::test]
async fn a_request_is_traced_from_its_caller_to_statements_and_commands() {
    let (folder, collector, redis) = (Folder::new("otlp"), Inbox::open(), RedisServer::start());
    let metrics = free_port();
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    // By itself the server would send nothing: the caller asks for it.
    let mut server = start(
        &folder,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_TRACES_SAMPLER_ARG", "0"),
            ("REDIS_URL", &redis.url()),
            ("METRICS_PORT", &metrics.to_string()),
            ("RATE_LIMIT_AUTH_PER_MINUTE", "0"),
        ],
    );
    until("Redis is available", || server.log().contains("Redis is available").then_some(()));
    let (trace, caller) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    // The limiter decides by itself directly after Redis became available, and if it is late.
    let mut tokens = Vec::new();
    while tokens.is_empty() || !asks_redis(metrics).await {
        assert!(tokens.len() < 100, "the limiter never asks Redis");
        let token = server.guest().await;
        let response = reqwest::Client::new()
            .post(format!("{}/api/v1/me/clicks", server.base))
            .bearer_auth(&token)
            .header("traceparent", format!("00-{trace}-{caller}-01"))
            .json(&json!({ "clicks": 3 }))
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        tokens.push(token);
    }
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(collector.holds(b"POST /v1/traces"));
    let traced = until("the spans have come", || {
        let of_trace = collector.spans().into_iter().filter(|span| span.trace == trace);
        let of_trace: Vec<_> = of_trace.collect();
        of_trace.iter().any(|span| span.name == "store::players::load").then_some(of_trace)
    });
    let named = |name: &str, parent: &str| {
        let found = traced.iter().find(|span| span.name == name && span.parent == parent);
        found.unwrap_or_else(|| panic!("{name} of {parent} is not among {traced:?}"))
    };
    let asks = |request: &&Span| {
        traced.iter().any(|span| span.name == "EVALSHA" && span.parent == request.id)
    };
    let mut requests = traced.iter().filter(|span| span.name == "POST /api/v1/me/clicks");
    let request = requests.find(asks);
    let request = request.unwrap_or_else(|| panic!("no question to Redis in {traced:?}"));
    assert_eq!(request.parent, caller);
    let lane = named("lane", &request.id);
    for statement in ["store::players::load", "store::commit"] {
        named(statement, &lane.id);
    }
    assert!(collector.holds(b"idlewatt"));
    assert!(!collector.holds(b"limit:"), "no key is sent");
    assert!(!tokens.iter().any(|token| collector.holds(token.as_bytes())), "no token is sent");
    assert!(
        !collector.holds(b"/api/v1/auth/guest"),
        "a request that nobody asked about is not sent"
    );
}

#[tokio::test]
async fn an_error_is_reported_without_private_data() {
    let (folder, sentry) = (Folder::new("sentry"), Inbox::open());
    let dsn = format!("http://public-key@127.0.0.1:{}/7", sentry.port);
    let secret = "signing-secret-that-nobody-may-read-either";
    let server = start(&folder, &[("SENTRY_DSN", &dsn), ("JWT_SECRET", secret)]);
    let token = server.guest().await;
    send_signal(database_pid(folder.path()), "KILL");
    until("the error has come", || {
        sentry.holds(b"the embedded database ended unexpectedly").then_some(())
    });
    assert!(sentry.holds(b"idlewatt@"));
    for hidden in [token.as_str(), secret] {
        assert!(!sentry.holds(hidden.as_bytes()));
    }
}
