//! Texts that other users see, such as display names: they are stored in composed Unicode form (NFC), may contain no
//! invisible characters, and their length is counted in characters as people perceive them.

use serde_json::{Value, json};

use crate::support::{Player, Reply, TestApp};

async fn rename(player: &Player, name: &str) -> Reply {
    let body = json!({ "display_name": name });
    player.client.call("PATCH", "/me", &player.token, Some(body)).await
}

/// Valid names, each with the form that is stored.
const VALID: [(&str, &str); 8] = [
    ("👨‍👩‍👧‍👦👨‍👩‍👧‍👦👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦👨‍👩‍👧‍👦👨‍👩‍👧‍👦"),
    ("\u{1112}\u{1161}\u{11ab}", "한"),
    (" e\u{301}lodie\u{3000}", "élodie"),
    ("ЖЕНЯ", "ЖЕНЯ"),
    ("❤️ heart", "❤️ heart"),
    ("नमस्ते", "नमस्ते"),
    ("שלום", "שלום"),
    ("a\u{2800}b", "a\u{2800}b"),
];

/// Invalid names: empty when displayed, or with characters that are invisible or change the text around them.
const INVALID: [&str; 21] = [
    "\u{200b}",
    "\u{3164}",
    "\u{2800}",
    "\u{ad}",
    "\u{2060}",
    "\u{200e}",
    "\u{fe0f}",
    "\u{34f}",
    "\u{115f}",
    "\u{ffa0}",
    "\u{17b5}",
    "\u{301}",
    "\u{200b}\u{200b} \u{200b}",
    "Ada\u{200b}",
    "Ada\u{200f}L",
    "Ada\u{61c}L",
    "Ada\u{202e}L",
    "Ada\u{2066}L",
    "a\u{300}\u{300}\u{300}\u{300}\u{300}\u{300}",
    "Ada\u{2028}L",
    "Ada\u{feff}",
];

#[tokio::test]
async fn names_with_invisible_characters_are_refused() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    for (name, stored) in VALID {
        let renamed = rename(&guest, name).await.expect(200);
        assert_eq!(renamed.json["display_name"], stored);
        let profile = app.client.call("GET", &format!("/players/{}", guest.id), "", None).await;
        assert_eq!(profile.expect(200).json["display_name"], stored);
    }
    let before = guest.state().await;
    for name in INVALID {
        let reply = rename(&guest, name).await.expect_problem(422, "validation_failed");
        assert_eq!(reply.json["errors"][0]["field"], "display_name", "{name:?}");
    }
    assert_eq!(guest.state().await, before);
}

#[tokio::test]
async fn a_name_has_at_most_24_perceived_characters_and_256_bytes() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let family_emoji = "👨‍👩‍👧‍👦";
    for (unit, most) in [("x", 24), ("가", 24), ("e\u{301}", 24), ("🇰🇷", 24), (family_emoji, 10)]
    {
        rename(&guest, &unit.repeat(most)).await.expect(200);
        rename(&guest, &unit.repeat(most + 1)).await.expect_problem(422, "validation_failed");
    }
}

#[tokio::test]
async fn all_displayed_texts_are_validated_like_names() {
    let app = TestApp::new().await;
    let guest = app.client.guest().await;
    let mut catalogue = app.client.admin("GET", "/catalog", None).await.expect(200).json;
    let original = catalogue.clone();
    for text in ["Ada\u{202e}L", "\u{200b}", "a\nb"] {
        let body = json!({
            "username": "ada", "password": "correct horse", "display_name": text
        });
        let reply = app.client.call("POST", "/auth/register", "", Some(body)).await;
        assert_eq!(
            reply.expect_problem(422, "validation_failed").json["errors"][0]["field"],
            "display_name"
        );
        for (path, body) in [
            ("grant", json!({ "energy": 1.0, "reason": text })),
            ("ban", json!({ "reason": text })),
            ("unban", json!({ "reason": text })),
        ] {
            let path = format!("/players/{}/{path}", guest.id);
            let reply = app.client.admin("POST", &path, Some(body)).await;
            assert_eq!(
                reply.expect_problem(422, "validation_failed").json["errors"][0]["field"],
                "reason"
            );
        }
        for (list, field) in [
            ("generators", "name"),
            ("generators", "description"),
            ("upgrades", "name"),
            ("upgrades", "description"),
        ] {
            catalogue[list][0][field] = json!(text);
            let reply = app.client.admin("PUT", "/catalog", Some(catalogue.clone())).await;
            let reply = reply.expect_problem(422, "validation_failed");
            assert_eq!(reply.json["errors"][0]["field"], format!("{list}[0].{field}"));
            catalogue = original.clone();
        }
    }
    let path = format!("/players/{}/grant", guest.id);
    let reason = "for ha\u{1100}\u{1161}nds";
    app.client
        .admin("POST", &path, Some(json!({ "energy": 1.0, "reason": reason })))
        .await
        .expect(200);
    let ledger = guest.get("/me/ledger").await.expect(200).json;
    let references: Vec<&Value> =
        ledger["entries"].as_array().expect("a list").iter().map(|it| &it["reference"]).collect();
    assert_eq!(references, ["for ha가nds"], "the composed form is stored");
}
