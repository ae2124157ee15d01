//! The web client, built from `web/` and embedded in the executable.
//!
//! The build contains precompressed copies of the files, which are sent unchanged. Files below `assets/` have a digest
//! in their name and never change. Any other path that a browser navigates to returns `index.html`, because the client
//! routes its own views. If the client was not built, a placeholder page explains how to build it.

use std::fmt::Write as _;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::api::problem::Problem;
use crate::http::pages::etag;

/// The built files of the web client. Without the feature `debug-embed`, debug builds read them from the disk.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Files;

const INDEX: &str = "index.html";

/// Returned if the web client was not built.
const PLACEHOLDER: &str = "<!doctype html>\n<html lang=\"en\">\n<title>Idlewatt</title>\n<p>The server is running, but \
    this build does not contain the web client. <code>make web</code> builds it. The API is documented at \
    <a href=\"/docs\">/docs</a>.\n</html>\n";

/// The Content-Security-Policy: only files of this server, no inline scripts or styles, and no HTML created from
/// strings.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const REVALIDATE: &str = "no-cache";

/// The encodings of the precompressed copies, in order of preference, with their file extensions.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// Serves a path outside the API: a file of the web client, `index.html` for a navigation, or 404.
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let not_found = || Problem::not_found("This path does not exist.");
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(not_found());
    }
    let path = request.path().trim_start_matches('/');
    if !path.is_empty() && path != INDEX && is_public(path) {
        return file(&request, path).ok_or_else(not_found);
    }
    if !path.is_empty() && path != INDEX && !is_navigation(&request, path) {
        return Err(not_found());
    }
    Ok(file(&request, INDEX).unwrap_or_else(|| placeholder(&request)))
}

/// Whether the file exists and may be requested. Precompressed copies are sent only through content negotiation.
fn is_public(path: &str) -> bool {
    let is_copy = ENCODINGS.iter().any(|(_, ending)| path.ends_with(ending));
    !is_copy && !path.starts_with('.') && Files::get(path).is_some()
}

/// Whether a browser navigates to a view of the client. A missing file must return 404 and not `index.html`.
fn is_navigation(request: &HttpRequest, path: &str) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let is_file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    accept.is_some_and(|it| it.contains("text/html"))
        && !is_file
        && path != "api"
        && !path.starts_with("api/")
}

fn file(request: &HttpRequest, path: &str) -> Option<HttpResponse> {
    let accepted = request.headers().get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut copies = ENCODINGS.into_iter().filter(|(encoding, _)| accepts(accepted, encoding));
    let found = copies.find_map(|(encoding, ending)| {
        Some((Some(encoding), Files::get(&format!("{path}{ending}"))?))
    });
    let (encoding, file) = match found {
        Some(found) => found,
        None => (None, Files::get(path)?),
    };
    let tag = tag(&file);
    let is_unchanged = etag::matches(request, &tag);
    let status = if is_unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut response = HttpResponse::build(status);
    response.insert_header((header::ETAG, tag));
    response.insert_header((header::VARY, header::ACCEPT_ENCODING.as_str()));
    let cache_control = if path.starts_with("assets/") { IMMUTABLE } else { REVALIDATE };
    response.insert_header((header::CACHE_CONTROL, cache_control));
    if is_unchanged {
        return Some(response.finish());
    }
    if let Some(encoding) = encoding {
        response.insert_header((header::CONTENT_ENCODING, encoding));
    }
    response.insert_header((header::CONTENT_TYPE, content_type(path)));
    protect(&mut response, path);
    Some(response.body(file.data.into_owned()))
}

fn placeholder(request: &HttpRequest) -> HttpResponse {
    tracing::debug!(path = request.path(), "this build does not contain the web client");
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, REVALIDATE));
    response.insert_header((header::CONTENT_TYPE, content_type(INDEX)));
    protect(&mut response, INDEX);
    response.body(PLACEHOLDER)
}

/// Adds security headers, which restrict what a file can do if a browser opens it as a page.
fn protect(response: &mut HttpResponseBuilder, path: &str) {
    const NO_SNIFF: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response.insert_header(NO_SNIFF);
    if matches!(path.rsplit('.').next(), Some("html" | "svg")) {
        response.insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
        response.insert_header((header::REFERRER_POLICY, "no-referrer"));
        response.insert_header(("Cross-Origin-Opener-Policy", "same-origin"));
    }
}

/// The entity tag of a file: the digest that was calculated at build time. A precompressed copy has a different one.
fn tag(file: &EmbeddedFile) -> HeaderValue {
    let digest = &file.metadata.sha256_hash()[..12];
    let text = digest.iter().fold(String::from("\""), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    HeaderValue::try_from(text + "\"").unwrap_or(HeaderValue::from_static("\"\""))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("json" | "webmanifest") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether `Accept-Encoding` allows an encoding (RFC 9110, section 12.5.3).
fn accepts(header: &str, encoding: &str) -> bool {
    let mut any = false;
    for item in header.split(',') {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let quality = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f64>);
        let is_allowed = quality.is_ok_and(|quality| quality > 0.0);
        if name.trim().eq_ignore_ascii_case(encoding) {
            return is_allowed;
        }
        any |= name.trim() == "*" && is_allowed;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_encoding_is_respected() {
        for (header, br, gzip) in [
            ("", false, false),
            ("gzip, deflate, br", true, true),
            ("gzip;q=1.0, br;q=0", false, true),
            ("BR", true, false),
            ("*", true, true),
            ("*;q=0, gzip", false, true),
            ("identity", false, false),
            ("br;q=x", false, false),
        ] {
            assert_eq!((accepts(header, "br"), accepts(header, "gzip")), (br, gzip), "{header}");
        }
    }
}
