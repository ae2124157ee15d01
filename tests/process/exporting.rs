//! Exported telemetry: spans to an OTLP collector, errors to Sentry. Compiled only if both features are on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::program::{Folder, Program, database_pid, free_port, send_signal, until};
use crate::redis::RedisServer;
use crate::spans::{Span, spans};

/// An HTTP server that answers every request with 200 and keeps it.
struct Collector {
    port: u16,
    /// The bytes of each request, head and body.
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let received = Arc::clone(&received);
                thread::spawn(move || receive(stream, &received));
            }
        });
        Self { port, requests }
    }

    /// The bytes of all requests.
    fn contents(&self) -> Vec<u8> {
        self.requests.lock().expect("not poisoned").concat()
    }

    /// All spans that were received.
    fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().expect("not poisoned");
        let bodies = requests.iter().map(|request| {
            let head = request.windows(4).position(|it| it == b"\r\n\r\n").expect("a head");
            &request[head + 4..]
        });
        bodies.flat_map(spans).collect()
    }

    fn contains(&self, bytes: &[u8]) -> bool {
        self.contents().windows(bytes.len()).any(|it| it == bytes)
    }
}

fn receive(mut stream: TcpStream, requests: &Mutex<Vec<Vec<u8>>>) {
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let (mut bytes, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        let Ok(length @ 1..) = stream.read(&mut chunk) else { return };
        bytes.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some(head) = text.find("\r\n\r\n") else { continue };
        let content_length = text[..head].split("content-length: ").nth(1);
        let content_length: usize =
            content_length.and_then(|it| it.split("\r\n").next()?.parse().ok()).unwrap_or(0);
        let chunked = text[..head].contains("chunked");
        // The lossy text may be longer than the bytes, but the head is ASCII.
        let is_complete = if chunked {
            text.ends_with("0\r\n\r\n")
        } else {
            bytes.len() >= head + 4 + content_length
        };
        if is_complete {
            requests.lock().expect("not poisoned").push(std::mem::take(&mut bytes));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").ok();
        }
    }
}

fn start(folder: &Folder, variables: &[(&str, &str)]) -> Program {
    let data = ("DATA_DIR", folder.path().to_str().expect("text"));
    Program::start(&[&[data, ("DRAIN_DELAY_SECONDS", "0")], variables].concat())
}

/// Whether the metrics contain a rate-limit decision that Redis made for a player.
async fn redis_has_decided(metrics: u16) -> bool {
    let url = format!("http://127.0.0.1:{metrics}/metrics");
    let text = reqwest::get(url).await.expect("an answer").text().await.expect("text");
    let decided = text.lines().filter(|line| line.starts_with("rate_limit_decisions_total"));
    let mut by_redis = decided
        .filter(|line| line.contains("policy=\"player\"") && line.contains("store=\"redis\""));
    by_redis.any(|line| !line.ends_with(" 0"))
}

#[tokio::test]
async fn a_trace_contains_the_request_its_statements_and_its_redis_commands() {
    let (folder, collector, redis) = (Folder::new("otlp"), Collector::open(), RedisServer::start());
    let metrics = free_port();
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    // With the ratio 0 the server samples no request by itself. The `traceparent` below makes it sample this one.
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
    // The limiter may decide without Redis: shortly after Redis became available, and if Redis answers late. So the
    // test repeats the request until Redis was asked.
    let mut tokens = Vec::new();
    while tokens.is_empty() || !redis_has_decided(metrics).await {
        assert!(tokens.len() < 100, "the limiter never asked Redis");
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
    assert!(collector.contains(b"POST /v1/traces"));
    let traced = until("the spans have arrived", || {
        let of_trace = collector.spans().into_iter().filter(|span| span.trace == trace);
        let of_trace: Vec<_> = of_trace.collect();
        of_trace.iter().any(|span| span.name == "store::players::load").then_some(of_trace)
    });
    let named = |name: &str, parent: &str| {
        let found = traced.iter().find(|span| span.name == name && span.parent == parent);
        found.unwrap_or_else(|| panic!("{name} of {parent} is not among {traced:?}"))
    };
    let calls_redis = |request: &&Span| {
        traced.iter().any(|span| span.name == "EVALSHA" && span.parent == request.id)
    };
    let mut requests = traced.iter().filter(|span| span.name == "POST /api/v1/me/clicks");
    let request = requests.find(calls_redis);
    let request =
        request.unwrap_or_else(|| panic!("no request with a call of Redis in {traced:?}"));
    assert_eq!(request.parent, caller);
    let lane = named("lane", &request.id);
    for statement in ["store::players::load", "store::commit"] {
        named(statement, &lane.id);
    }
    assert!(collector.contains(b"idlewatt"));
    assert!(!collector.contains(b"limit:"), "no key is sent");
    assert!(!tokens.iter().any(|token| collector.contains(token.as_bytes())), "no token is sent");
    assert!(
        !collector.contains(b"/api/v1/auth/guest"),
        "a request without `traceparent` is not sampled"
    );
}

#[tokio::test]
async fn an_error_report_contains_no_secrets() {
    let (folder, sentry) = (Folder::new("sentry"), Collector::open());
    let dsn = format!("http://public-key@127.0.0.1:{}/7", sentry.port);
    let secret = "signing-secret-that-nobody-may-read-either";
    let server = start(&folder, &[("SENTRY_DSN", &dsn), ("JWT_SECRET", secret)]);
    let token = server.guest().await;
    send_signal(database_pid(folder.path()), "KILL");
    until("the error has arrived", || {
        sentry.contains(b"the embedded database ended unexpectedly").then_some(())
    });
    assert!(sentry.contains(b"idlewatt@"));
    for hidden in [token.as_str(), secret] {
        assert!(!sentry.contains(hidden.as_bytes()));
    }
}
