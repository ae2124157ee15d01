//! JSON request bodies.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::api::problem::{Code, Problem};
use crate::api::wire::read_object;

/// The maximum size of a body.
const MAX_BYTES: usize = 64 * 1024;

/// The timeout for receiving a body.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// A JSON body. An empty body counts as `{}`.
#[derive(Debug)]
pub struct Body<T> {
    pub value: T,
    /// The bytes of the body.
    pub raw: Bytes,
}

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let late = || Problem::malformed("body", "was not received in time");
            let raw = timeout(READ_LIMIT, read(&request, payload)).await.map_err(|_| late())??;
            if raw.is_empty() {
                return Ok(Self { value: read_object(b"{}")?, raw });
            }
            if is_encoded(request.headers()) {
                let detail = "Send the body uncompressed, without Content-Encoding.";
                return Err(Problem::new(Code::UnsupportedMediaType, detail));
            }
            let json = request.mime_type().ok().flatten().is_some_and(|mime| {
                mime.type_() == mime::APPLICATION && mime.subtype() == mime::JSON
            });
            if !json {
                let detail = "The Content-Type of the body must be application/json.";
                return Err(Problem::new(Code::UnsupportedMediaType, detail));
            }
            Ok(Self { value: read_object(&raw)?, raw })
        })
    }
}

/// Whether `Content-Encoding` declares that the body is compressed or otherwise encoded.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).any(|value| {
        let codings = value.to_str().unwrap_or("unknown").split(',').map(str::trim);
        codings.filter(|it| !it.is_empty()).any(|it| !it.eq_ignore_ascii_case("identity"))
    })
}

async fn read(request: &HttpRequest, mut payload: Payload) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::PayloadTooLarge, "The body may have at most 64 KiB.");
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAX_BYTES) {
        return Err(too_large());
    }
    let mut body = BytesMut::with_capacity(declared.unwrap_or(0));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed("body", "is incomplete or unreadable"))?;
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
