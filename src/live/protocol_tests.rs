use std::collections::BTreeSet;

use super::*;

fn packed(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("MessagePack")
}

#[test]
fn both_codecs_carry_the_same_values() {
    let value = json!({
        "type": "call", "id": 3, "method": "POST", "path": "/me/clicks", "body": {"clicks": 5, "x": [1.5, -1, null, "ü"]}
    });
    let text = value.to_string();
    for (codec, payload) in
        [(Codec::Json, text.clone().into_bytes()), (Codec::MessagePack, packed(&value))]
    {
        let (id, frame) = read(codec, &payload).expect("a frame");
        let Frame::Call(call) = frame else { panic!("{frame:?}") };
        assert_eq!((id, call.path.as_str()), (Some(3), "/me/clicks"));
        assert_eq!(call.body, value["body"]);
    }
    let packed_frame = Codec::MessagePack.frame(text.as_bytes());
    let length = packed(&value).len();
    let header = packed_frame.len() - length;
    let back: Value = rmp_serde::from_slice(&packed_frame[header..]).expect("a value");
    assert_eq!(back, value);
}

#[test]
fn unreadable_frames_are_named_with_their_id() {
    for (text, id, field) in [
        ("", None, "frame"),
        ("[]", None, "frame"),
        ("{", None, "frame"),
        (r#"{"type":"ping"} {}"#, None, "frame"),
        (r#"{"id":1}"#, Some(1), "type"),
        (r#"{"id":1,"type":7}"#, Some(1), "type"),
        (r#"{"id":1,"type":"dance"}"#, Some(1), "type"),
        (r#"{"id":-1,"type":"ping"}"#, None, "id"),
        (r#"{"id":9007199254740992,"type":"ping"}"#, None, "id"),
        (r#"{"id":1,"type":"subscribe"}"#, Some(1), "frame"),
        (r#"{"id":1,"type":"subscribe","streams":[{"stream":7}]}"#, Some(1), "streams[0].stream"),
        (r#"{"type":"call","method":"GET","path":"/me"}"#, None, "id"),
        (r#"{"id":1,"type":"call","path":"/me"}"#, Some(1), "frame"),
        (r#"{"type":"hello"}"#, None, "frame"),
    ] {
        let unreadable = read(Codec::Json, text.as_bytes()).expect_err(text);
        assert_eq!(unreadable.id, id, "{text}");
        assert_eq!(unreadable.problem.to_value()["errors"][0]["field"], field, "{text}");
    }
    // Not MessagePack, a number, two values, and a map that says it is larger than the message.
    let two = [packed(&json!({})), packed(&json!({}))].concat();
    for bytes in [&[0xc1][..], &[7], &two, &[0xdf, 0xff, 0xff, 0xff, 0xff]] {
        assert!(read(Codec::MessagePack, bytes).is_err(), "{bytes:?}");
    }
    let mut deep = vec![0x91; 10_000];
    deep.push(0xc0);
    assert!(read(Codec::MessagePack, &deep).is_err());
}

#[test]
fn unknown_members_are_ignored_and_optional_ones_may_be_missing() {
    let (id, frame) =
        read(Codec::Json, br#"{"type":"hello","token":"t","later":[1]}"#).expect("a frame");
    let Frame::Hello(hello) = frame else { panic!("{frame:?}") };
    assert_eq!((id, hello.epoch), (None, None));
    assert!(hello.streams.is_empty() && hello.topics.is_empty());
}

#[test]
fn results_contain_the_body_as_it_is() {
    let body = serde_json::from_str::<&RawValue>(r#"{"a": 1.0}"#).expect("JSON");
    let mut members = Map::new();
    members.insert("status".into(), json!(200));
    let frame = server::result(7, members, body);
    let text = String::from_utf8(frame).expect("text");
    assert!(text.ends_with(r#","body":{"a": 1.0}}"#), "{text}");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&value["id"], &value["status"]), (&json!(7), &json!(200)));
}

/// The type of a frame. A new kind of frame must be added here, and to the document.
fn name(frame: &Frame) -> &'static str {
    match frame {
        Frame::Hello(_) => "hello",
        Frame::Subscribe(_) => "subscribe",
        Frame::Unsubscribe(_) => "unsubscribe",
        Frame::Topic { .. } => "topic",
        Frame::Call(_) => "call",
        Frame::Token(_) => "token",
        Frame::Typing => "typing",
        Frame::Ping => "ping",
    }
}

#[test]
fn frames_of_clients_are_read_as_the_document_says() {
    let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
    let reads = |frame: &Value| read(Codec::Json, frame.to_string().as_bytes());
    let mut names = BTreeSet::new();
    for message in document["operations"]["receive"]["messages"].as_array().expect("a list") {
        let target = |value: &Value| -> Value {
            let reference = value["$ref"].as_str().expect("a reference").trim_start_matches('#');
            document.pointer(reference).expect("a target").clone()
        };
        let message = target(&target(message));
        let schema = target(&message["payload"]);
        let example = &message["examples"][0]["payload"];
        let root = json!({ "components": document["components"], "allOf": [&schema] });
        let validator = jsonschema::validator_for(&root).expect("a schema");

        let (id, frame) = reads(example).unwrap_or_else(|it| panic!("{example}: {it:?}"));
        assert_eq!(name(&frame), message["name"]);
        assert_eq!(json!(id), example["id"]);
        names.insert(name(&frame));
        let members = schema["properties"].as_object().expect("members");
        for member in members.keys() {
            assert!(member == "id" || example.get(member).is_some(), "{member} of {example}");
            // Without it, and with a wrong value,: what is allowed is read, and nothing else.
            let mut without = example.clone();
            without.as_object_mut().expect("an object").remove(member);
            let mut changed = vec![without];
            // The value of `channel` is not looked at yet.
            if member != "body" && member != "channel" {
                changed.push(example.clone());
                changed.last_mut().expect("a frame")[member] = json!({ "not": "this" });
            }
            for frame in changed {
                assert_eq!(reads(&frame).is_ok(), validator.is_valid(&frame), "{frame}");
            }
        }
    }
    let read_names = BTreeSet::from([
        "hello",
        "subscribe",
        "unsubscribe",
        "topic",
        "call",
        "token",
        "typing",
        "ping",
    ]);
    assert_eq!(names, read_names);
}
