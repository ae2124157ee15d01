//! Access tokens that the tests make themselves.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::client::Player;

/// A token of these parts, signed with HMAC-SHA-256.
pub fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// A token with these claims, made as the server does.
pub fn token(claims: &Value, secret: &str) -> String {
    signed(&json!({ "typ": "JWT", "alg": "HS256" }), claims, secret)
}

/// A part of a token.
pub fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

impl Player {
    /// The claims of the player's access token.
    pub fn claims(&self) -> Value {
        let claims = self.token.split('.').nth(1).expect("three parts");
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
        serde_json::from_slice(&claims).expect("JSON")
    }

    /// The id of the player's session.
    pub fn session(&self) -> String {
        self.claims()["sid"].as_str().expect("a session").to_owned()
    }
}
