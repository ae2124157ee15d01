//! The `AsyncAPI` document: every frame that the server sends in a test is as it says.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::TestApp;
use crate::support::schema::Schemas;

static DOCUMENT: LazyLock<Value> = LazyLock::new(idlewatt::http::asyncapi_document);

/// The messages of an operation of the document.
fn messages(operation: &str) -> Vec<&'static Value> {
    let schemas = Schemas(&DOCUMENT);
    let references = DOCUMENT["operations"][operation]["messages"].as_array().expect("messages");
    let target = |reference: &'static Value| -> &'static Value {
        let pointer = reference["$ref"].as_str().expect("a reference").trim_start_matches('#');
        DOCUMENT.pointer(pointer).expect("a target")
    };
    assert!(schemas.0["asyncapi"].as_str().expect("a version").starts_with("3."));
    references.iter().map(|reference| target(target(reference))).collect()
}

/// Checks a frame of the server.
pub fn check(frame: &Value) {
    let message = messages("send").into_iter().find(|it| it["name"] == frame["type"]);
    let message = message.unwrap_or_else(|| panic!("not documented: {frame}"));
    let faults = Schemas(&DOCUMENT).faults(&message["payload"], frame);
    assert!(faults.is_empty(), "{faults:#?} in {frame}");
}

#[tokio::test]
async fn the_document_is_served_and_has_all_frames_of_the_guide() {
    let app = TestApp::new().await;
    let reply = app.client.send(app.client.request("GET", "/asyncapi.json")).await.expect(200);
    assert_eq!(reply.json, *DOCUMENT);
    let again = app.client.request("GET", "/asyncapi.json");
    let again = again.header("If-None-Match", reply.header("etag"));
    app.client.send(again).await.expect(304);

    let guide = include_str!("../../../docs/live.md");
    let of_guide = guide.split("\"type\":\"").skip(1);
    let of_guide: BTreeSet<_> = of_guide.map(|it| it.split('"').next().expect("a name")).collect();
    let documented = ["receive", "send"].into_iter().flat_map(messages);
    let documented: BTreeSet<_> =
        documented.map(|it| it["name"].as_str().expect("a name")).collect();
    assert_eq!(of_guide, documented);
}
