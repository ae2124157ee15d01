//! Entity tags and conditional requests.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The number of bytes of the SHA-256 digest in an entity tag.
const DIGEST_BYTES: usize = 15;

/// The digest of a body for a strong entity tag. It depends only on the body, so all instances return the same tag.
pub fn digest(body: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(body)[..DIGEST_BYTES])
}

/// Whether `If-None-Match` contains this tag, by the weak comparison that RFC 9110 requires.
pub fn matches(request: &HttpRequest, etag: &HeaderValue) -> bool {
    let mut received = request.headers().get_all(header::IF_NONE_MATCH).peekable();
    if received.peek().is_none() {
        return false;
    }
    let wanted = opaque(etag.to_str().unwrap_or_default());
    received
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == wanted)
}

/// The tag without the prefix `W/`.
fn opaque(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn different_bodies_have_different_digests() {
        let digests = [&b""[..], b"{}", b"{} ", b"[]"].map(digest);
        for (position, one) in digests.iter().enumerate() {
            assert_eq!(one.len(), 20);
            assert!(digests.iter().skip(position + 1).all(|other| other != one), "{digests:?}");
        }
        assert_eq!(digest(b"{}"), digests[1]);
    }

    #[test]
    fn tags_are_compared_weakly_and_one_by_one() {
        let asks = |value: &str| {
            TestRequest::default().insert_header(("If-None-Match", value)).to_http_request()
        };
        let matches = |request: &_, tag| super::matches(request, &HeaderValue::from_static(tag));
        assert!(matches(&asks("W/\"1\""), "W/\"1\""));
        assert!(matches(&asks("\"1\""), "W/\"1\""));
        assert!(matches(&asks("\"0\", W/\"1\""), "\"1\""));
        assert!(matches(&asks("*"), "\"1\""));
        assert!(!matches(&asks("\"11\""), "\"1\""));
        assert!(!matches(&TestRequest::default().to_http_request(), "\"1\""));
    }
}
