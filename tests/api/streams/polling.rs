//! Polls without waiting.

use serde_json::{Value, json};

use super::{append, poll, sequences, stream_of};
use crate::support::TestApp;

#[tokio::test]
async fn a_poll_gives_what_came_after_a_position_in_order_and_once() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    let streams = ada.get("/me/streams").await.expect(200).json;
    let epoch = ada.state().await["epoch"].clone();
    assert_eq!(
        streams,
        json!({ "epoch": epoch, "streams": [{ "stream": stream, "head": 0 }, { "stream": "announcements", "head": 0 }] })
    );
    for count in [1, 3, 1] {
        append(&app, &stream, count).await.expect("appended");
    }
    append(&app, "announcements", 2).await.expect("appended");
    let polled = poll(&ada, &format!("stream={stream}@2&stream=announcements@0")).await.expect(200);
    assert_eq!(polled.header("cache-control"), "no-store");
    assert_eq!(sequences(&polled.json), [3, 4, 5, 1, 2]);
    assert_eq!(polled.json["epoch"], epoch);
    assert_eq!(
        polled.json["streams"],
        json!([
            { "stream": stream, "head": 5, "resync": false },
            { "stream": "announcements", "head": 2, "resync": false },
        ])
    );
    assert_eq!(polled.json["more"], false);
    // Again from the end: nothing. Without a position: from the head.
    for query in [format!("stream={stream}@5"), format!("stream={stream}")] {
        let polled = poll(&ada, &query).await.expect(200).json;
        assert_eq!((sequences(&polled), &polled["streams"][0]["head"]), (vec![], &json!(5)));
    }
    let heads = ada.get("/me/streams").await.expect(200).json;
    assert_eq!(
        (&heads["streams"][0]["head"], &heads["streams"][1]["head"]),
        (&json!(5), &json!(2))
    );
}

#[tokio::test]
async fn a_long_stream_comes_in_parts_that_are_shared_fairly() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 700).await.expect("appended");
    append(&app, "announcements", 20).await.expect("appended");
    let (mut position, mut rounds) = (0, 0);
    loop {
        let query = format!("stream={stream}@{position}&stream=announcements@0");
        let polled = poll(&ada, &query).await.expect(200).json;
        let events = polled["events"].as_array().expect("a list");
        assert!(events.len() <= 300);
        let (own, common): (Vec<_>, Vec<_>) =
            events.iter().partition(|event| event["stream"] == stream.as_str());
        assert_eq!(common.len(), 20, "the short stream is not held up by the long one");
        for event in own {
            position += 1;
            assert_eq!(event["sequence"], position);
        }
        rounds += 1;
        if polled["more"] == false {
            break;
        }
    }
    assert_eq!((position, rounds), (700, 3));
}

#[tokio::test]
async fn a_position_that_cannot_be_continued_is_resync_with_the_head_and_nothing_else() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 1001).await.expect("appended");
    let epoch = ada.state().await["epoch"].as_str().expect("text").to_owned();
    let resync = json!([{ "stream": stream, "head": 1001, "resync": true }]);
    for query in [
        format!("stream={stream}@0"),
        format!("stream={stream}@1002"),
        format!("stream={stream}@9223372036854775807"),
        format!("stream={stream}@1001&epoch=another"),
        format!("stream={stream}&epoch=another"),
    ] {
        for wait in ["", "&wait=25"] {
            let polled = poll(&ada, &format!("{query}{wait}")).await.expect(200).json;
            assert_eq!((sequences(&polled), &polled["streams"]), (vec![], &resync), "{query}");
            assert_eq!(polled["more"], false);
        }
    }
    let polled = poll(&ada, &format!("stream={stream}@1&epoch={epoch}")).await.expect(200).json;
    assert_eq!((sequences(&polled).len(), &polled["more"]), (300, &json!(true)));
}

#[tokio::test]
async fn events_can_be_read_for_an_hour() {
    let app = crate::support::books::start_for_days(&crate::support::World::new().await).await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 3).await.expect("appended");
    let mut later = Vec::new();
    for minutes in (5..=60).step_by(5) {
        app.advance(300.0);
        app.run_jobs().await;
        later.push(append(&app, &stream, 1).await.expect("appended"));
        let polled = poll(&ada, &format!("stream={stream}@2")).await.expect(200).json;
        assert_eq!(sequences(&polled)[0], 3, "after {minutes} minutes");
    }
    for _ in 0..6 {
        app.advance(300.0);
        app.run_jobs().await;
    }
    // Of events that were removed in part, none is given.
    let polled = poll(&ada, &format!("stream={stream}@2")).await.expect(200).json;
    assert_eq!((sequences(&polled), &polled["streams"][0]["resync"]), (vec![], &json!(true)));
    // A client that was idle for long and missed nothing continues.
    for _ in 0..24 {
        app.advance(300.0);
        app.run_jobs().await;
    }
    let head = later.last().expect("appended");
    let polled = poll(&ada, &format!("stream={stream}@{head}")).await.expect(200).json;
    assert_eq!((sequences(&polled), &polled["streams"][0]["resync"]), (vec![], &json!(false)));
    assert_eq!(append(&app, &stream, 1).await.expect("appended"), head + 1);
    let polled = poll(&ada, &format!("stream={stream}@{head}")).await.expect(200).json;
    assert_eq!(sequences(&polled), [head + 1]);
}

#[tokio::test]
async fn two_resumes_from_one_position_give_the_same_and_the_next_gives_nothing() {
    let app = TestApp::new().await;
    let other = app.world.start().await;
    let ada = app.client.guest().await;
    let stream = stream_of(&ada);
    append(&app, &stream, 5).await.expect("appended");
    let at = async |app: &TestApp, position: i64| {
        let query = format!("stream={stream}@{position}");
        sequences(&poll(&ada.at(app), &query).await.expect(200).json)
    };
    assert_eq!(at(&app, 2).await, [3, 4, 5]);
    assert_eq!(at(&other, 2).await, [3, 4, 5], "positions are held by clients alone");
    assert_eq!(at(&other, 5).await, Vec::<i64>::new());
}

#[tokio::test]
async fn streams_of_others_and_malformed_queries_are_refused() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.client.guest().await, app.client.guest().await);
    let (own, other) = (stream_of(&ada), stream_of(&bob));
    append(&app, &other, 1).await.expect("appended");
    for name in [other.as_str(), "room:1", "player:x", "chat:global-en", "nothing", ""] {
        for query in [format!("stream={own}@0&stream={name}@0"), format!("stream={name}&wait=25")] {
            let reply = poll(&ada, &query).await.expect_problem(404, "not_found");
            let detail = reply.json["detail"].as_str().expect("text");
            assert!(detail.starts_with(&format!("The stream {name} ")), "{detail}");
        }
    }
    let many: Vec<_> = (0..51).map(|number| format!("stream={own}@{number}")).collect();
    for query in [
        "",
        "wait=1",
        &format!("stream={own}&stream={own}"),
        &format!("stream={own}@0&stream={own}@1"),
        &format!("stream={own}@-1"),
        &format!("stream={own}@1.5"),
        &format!("stream={own}@"),
        &format!("stream={own}@x"),
        &format!("stream={own}@99999999999999999999"),
        &format!("stream={own}&wait=26"),
        &format!("stream={own}&wait=-1"),
        &format!("stream={own}&wait=x"),
        &format!("stream={own}&wait=1&wait=1"),
        &format!("stream={own}&limit=5"),
        &many.join("&"),
    ] {
        poll(&ada, query).await.expect_problem(400, "invalid_request");
    }
    app.client
        .call("GET", "/events?stream=announcements", "", None)
        .await
        .expect_problem(401, "unauthenticated");
    app.client.call("GET", "/me/streams", "", None).await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn nothing_of_a_deleted_player_is_left() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    crate::notifications::notify(&app, &ada, "gift", "high").await;
    let announced = crate::notifications::announce(&app, "party", "low").await;
    ada.post("/me/notifications/read", json!({ "ids": [announced] })).await.expect(200);
    let muted = json!({ "muted_types": ["x"] });
    ada.client.call("PUT", "/me/notification-settings", &ada.token, Some(muted)).await.expect(200);
    ada.grant(1.0).await;
    let database = app.world.connect().await;
    let count = async || {
        let tables = [
            "streams",
            "stream_events",
            "notifications",
            "announcement_reads",
            "notification_settings",
            "outbox",
        ];
        let mut found = Vec::new();
        for table in tables {
            let sql =
                format!("select count(*) from {table} as it where it::text like '%{}%'", ada.id);
            let count: i64 = database.query_one(&sql, &[]).await.expect("counted").get(0);
            if count > 0 {
                found.push(table);
            }
        }
        found
    };
    assert!(count().await.len() >= 5);
    ada.client.call("DELETE", "/me", &ada.token, None).await.expect(204);
    assert_eq!(count().await, Vec::<&str>::new());
    app.empty_outbox().await;
    assert_eq!(count().await, Vec::<&str>::new());
    // As left by an instance of a release that does not know these tables.
    let fill = format!(
        "insert into streams values ('player:{0}', 3);
        insert into notification_settings values ('{0}', '{{}}');
        insert into announcement_reads values ('{0}', gen_random_uuid(), now());
        insert into outbox (player_id, type, at, data) values ('{0}', 'grant', now(), '{{}}');
        insert into notifications (player_id, notification_id, sequence, type, priority, data, at)
            values ('{0}', gen_random_uuid(), 1, 'grant', 1, '{{}}', now())",
        ada.id
    );
    database.batch_execute(&fill).await.expect("filled");
    app.advance(3600.0);
    app.run_jobs().await;
    app.empty_outbox().await;
    assert_eq!(count().await, Vec::<&str>::new());
}

#[tokio::test]
async fn an_export_contains_the_notifications() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    crate::notifications::notify(&app, &ada, "gift", "high").await;
    let export = ada.get("/me/export").await.expect(200).json;
    assert_eq!(export["notifications"][0]["type"], "gift");
    assert_eq!(export["muted_types"], Value::Array(Vec::new()));
}
