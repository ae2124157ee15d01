//! The `Idempotency-Key` header.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::api::problem::Problem;
use crate::game::{Asked, IdempotencyKey};

const HEADER: &str = "Idempotency-Key";
const MAX_LENGTH: usize = 255;

/// The idempotency key of a request, which is optional.
#[derive(Debug)]
pub struct Key {
    pub text: Option<String>,
    /// The method and path of the request.
    target: String,
}

impl Key {
    /// Like [`Key::of`], for an operator. Operators' keys never equal the keys of the player that they act on.
    pub fn of_operator(&self, asked: Asked<'_>) -> Option<IdempotencyKey> {
        // The prefix is unambiguous, because a player's key cannot contain a space.
        let key = self.text.as_deref().map(|key| format!("operator {key}"));
        key.map(|key| IdempotencyKey::new(&key, &self.target, asked))
    }

    /// The key combined with the content of the request, so that reuse for another request is detected.
    pub fn of(&self, asked: Asked<'_>) -> Option<IdempotencyKey> {
        self.text.as_deref().map(|key| IdempotencyKey::new(key, &self.target, asked))
    }
}

impl FromRequest for Key {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request))
    }
}

fn read(request: &HttpRequest) -> Result<Key, Problem> {
    let mut values = request.headers().get_all(HEADER);
    let Some(value) = values.next() else {
        return Ok(Key { text: None, target: String::new() });
    };
    if values.next().is_some() {
        return Err(Problem::malformed(HEADER, "must be sent once"));
    }
    let bytes = value.as_bytes();
    let visible = bytes.iter().all(u8::is_ascii_graphic);
    if !visible || !(1..=MAX_LENGTH).contains(&bytes.len()) {
        return Err(Problem::malformed(HEADER, "must be 1 to 255 visible ASCII characters"));
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    Ok(Key { text: Some(text), target: format!("{} {}", request.method(), request.path()) })
}
