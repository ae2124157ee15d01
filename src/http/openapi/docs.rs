//! Serves the OpenAPI document, the `AsyncAPI` document and the Swagger UI.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa_swagger_ui::Config;

use super::{asyncapi, document};
use crate::api::problem::Problem;
use crate::http::pages::ready::Ready;

/// The documents as compact JSON, rendered once.
static DOCUMENT: LazyLock<Result<Ready, Problem>> =
    LazyLock::new(|| Ready::new(document().to_string().into_bytes()));

static SOCKETS: LazyLock<Result<Ready, Problem>> =
    LazyLock::new(|| Ready::new(asyncapi::document().to_string().into_bytes()));

static PAGE: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("/openapi.json").persist_authorization(true)));

/// The OpenAPI 3.1 document.
pub async fn openapi_json(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let document = DOCUMENT.as_ref().map_err(Problem::internal)?;
    Ok(document.answer(&request, HeaderValue::from_static("public, max-age=60")))
}

/// The `AsyncAPI` 3 document.
pub async fn asyncapi_json(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let document = SOCKETS.as_ref().map_err(Problem::internal)?;
    Ok(document.answer(&request, HeaderValue::from_static("public, max-age=60")))
}

/// Redirects to the Swagger UI, whose files are below `/docs/`.
pub async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

/// A file of the Swagger UI.
pub async fn docs_file(path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let missing = || Problem::not_found("The documentation has no such file.");
    let path = if path.is_empty() { "index.html" } else { path.as_str() };
    let file = utoipa_swagger_ui::serve(path, Arc::clone(&PAGE)).map_err(|_| missing())?;
    let file = file.ok_or_else(missing)?;
    Ok(HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .body(file.bytes.into_owned()))
}
