//! The web page of the game: which paths return it, and its headers for security and caching.

use reqwest::RequestBuilder;

use crate::support::{Reply, TestApp};

const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

async fn get(app: &TestApp, path: &str, accept: &str) -> Reply {
    app.client.send(app.client.request("GET", path).header("Accept", accept)).await
}

fn is_page(reply: &Reply) -> bool {
    reply.header("content-type") == "text/html; charset=utf-8"
}

#[tokio::test]
async fn only_the_root_and_the_view_paths_return_the_page() {
    let app = TestApp::new().await;
    for path in ["/", "/rankings", "/journal", "/some/view"] {
        let reply = get(&app, path, HTML).await.expect(200);
        assert!(is_page(&reply) && reply.text.contains("<title>Idlewatt</title>"), "{path}");
        assert_eq!(reply.header("cache-control"), "no-cache");
        let policy = reply.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("trusted-types"),
            "{policy}"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(name), value);
        }
    }
    assert!(
        is_page(&get(&app, "/", "*/*").await.expect(200)),
        "the root returns the page for any `Accept` header"
    );
    for (path, accept) in [
        ("/rankings", "*/*"),
        ("/assets/missing-1a2b.js", HTML),
        ("/missing.png", HTML),
        ("/index.html.br", HTML),
        ("/.gitkeep", HTML),
        ("/../Cargo.toml", HTML),
        ("/api/v1/nothing", HTML),
        ("/api/nothing", HTML),
        ("/api", HTML),
    ] {
        get(&app, path, accept).await.expect_problem(404, "not_found");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let request = app.client.request(method, "/rankings").header("Accept", HTML);
        app.client.send(request).await.expect_problem(404, "not_found");
    }
    let request = app.client.request("POST", "/").header("Accept", HTML);
    app.client.send(request).await.expect_problem(405, "method_not_allowed");
}

/// Requests a file of the page with an `Accept-Encoding` header. `None` if the page was not built.
async fn get_file(app: &TestApp, encoding: &str) -> Option<Reply> {
    let encoded = |request: RequestBuilder| request.header("Accept-Encoding", encoding);
    let reply = app.client.send(encoded(app.client.request("GET", "/lamp.svg"))).await;
    (reply.status == 200).then_some(reply)
}

#[tokio::test]
async fn built_files_are_sent_compressed_and_answered_304_if_unchanged() {
    let app = TestApp::new().await;
    // Without a build there are no files; `make test-web` makes one.
    let Some(plain) = get_file(&app, "identity").await else { return };
    assert_eq!(plain.header("content-encoding"), "");
    let mut tags = vec![plain.header("etag").to_owned()];
    for encoding in ["br", "gzip"] {
        let reply = get_file(&app, encoding).await.expect("a file");
        assert_eq!(reply.header("content-encoding"), encoding);
        assert_eq!(reply.header("vary"), "accept-encoding");
        assert_eq!(reply.header("content-type"), "image/svg+xml");
        let tag = reply.header("etag").to_owned();
        let request = app.client.request("GET", "/lamp.svg").header("Accept-Encoding", encoding);
        let again = app.client.send(request.header("If-None-Match", &tag)).await.expect(304);
        assert_eq!(again.header("etag"), tag);
        tags.push(tag);
    }
    tags.dedup();
    assert_eq!(tags.len(), 3, "each encoding must have its own `ETag`: {tags:?}");
}
