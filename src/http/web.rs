//! The page of the game, built from `web/` and embedded in the program.
//!
//! Builds of the page have precompressed copies of their files, which are sent as they are. Files below `assets/` have a
//! digest in their name and never change. Any other path that a browser navigates to shows the page, which knows its own
//! views. Without a build there is a small page that says how to make one.

use std::fmt::Write as _;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::api::problem::Problem;
use crate::http::pages::etag;

/// The files of the page. Without the feature `debug-embed`, debug builds read them from the disk.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Files;

const INDEX: &str = "index.html";

/// Shown instead of the page if it was not built.
const STAND_IN: &str = "<!doctype html>\n<html lang=\"en\">\n<title>Idlewatt</title>\n<p>The server runs. Its page is not part \
    of this build: <code>make web</code> builds it. The API is described at <a href=\"/docs\">/docs</a>.\n</html>\n";

/// What the page may load and do: only files of the server, no inline scripts or styles, and no HTML from texts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const FOREVER: &str = "public, max-age=31536000, immutable";
const CHECKED: &str = "no-cache";

/// The encodings of the copies, best first, with the endings of their names.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// Answers a path that is not one of the API: a file of the page, the page, or that there is nothing.
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let nowhere = || Problem::not_found("This path does not exist.");
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(nowhere());
    }
    let path = request.path().trim_start_matches('/');
    if !path.is_empty() && path != INDEX && is_public(path) {
        return file(&request, path).ok_or_else(nowhere);
    }
    if !path.is_empty() && path != INDEX && !is_navigation(&request, path) {
        return Err(nowhere());
    }
    Ok(file(&request, INDEX).unwrap_or_else(|| stand_in(&request)))
}

/// Whether the page has this file. The copies are not public by themselves.
fn is_public(path: &str) -> bool {
    let is_copy = ENCODINGS.iter().any(|(_, ending)| path.ends_with(ending));
    !is_copy && !path.starts_with('.') && Files::get(path).is_some()
}

/// Whether a browser navigates to a view of the page. A missing file must not be answered with the page.
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
    let kept = if path.starts_with("assets/") { FOREVER } else { CHECKED };
    response.insert_header((header::CACHE_CONTROL, kept));
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

fn stand_in(request: &HttpRequest) -> HttpResponse {
    tracing::debug!(path = request.path(), "the page is not part of this build");
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, CHECKED));
    response.insert_header((header::CONTENT_TYPE, content_type(INDEX)));
    protect(&mut response, INDEX);
    response.body(STAND_IN)
}

/// Adds the headers that restrict what a page, or a file that is opened as one, can do.
fn protect(response: &mut HttpResponseBuilder, path: &str) {
    const NO_SNIFF: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response.insert_header(NO_SNIFF);
    if matches!(path.rsplit('.').next(), Some("html" | "svg")) {
        response.insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
        response.insert_header((header::REFERRER_POLICY, "no-referrer"));
        response.insert_header(("Cross-Origin-Opener-Policy", "same-origin"));
    }
}

/// The entity tag of a file: its digest, which is calculated when the program is built. A copy has another one.
fn tag(file: &EmbeddedFile) -> HeaderValue {
    let digest = &file.metadata.sha256_hash()[..12];
    let text = digest.iter().fold(String::from("\""), |mut text, byte| {
        // Writing to a string does not fail.
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
    fn an_encoding_is_accepted_as_the_header_says() {
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
