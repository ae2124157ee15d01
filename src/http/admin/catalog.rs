//! Changing the catalogue.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::catalogue::ReplaceError;
use crate::domain::{Catalogue, Timeline};
use crate::http::extract::{Body, Operator};
use crate::http::problem::{Code, Problem};
use crate::http::wire::{AdminCatalogWire, CatalogRequest, CatalogWire, RulesWire};
use crate::http::{Api, json_with};

fn timeline(api: &Api) -> Result<std::sync::Arc<Timeline>, Problem> {
    let timeline = api.catalogues.timeline();
    timeline.map_err(|error| Problem::unavailable("The server is starting.", error))
}

fn answer(api: &Api, catalogue: &Catalogue, timeline: &Timeline) -> HttpResponse {
    let wire = AdminCatalogWire {
        catalog: CatalogWire::new(catalogue, &timeline.rules),
        version_in_force: timeline.at(api.game.now()).version,
    };
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header((header::ETAG, tag(catalogue.version)));
    json_with(response, &wire)
}

fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// Read the newest catalogue, in force or about to be.
#[utoipa::path(
    get, path = "/api/v1/admin/catalog", tag = "admin",
    responses((status = 200, body = AdminCatalogWire, headers(("ETag" = String)))),
    security(("operator" = []))
)]
pub async fn read_catalog(api: web::Data<Api>, _: Operator) -> Result<HttpResponse, Problem> {
    let timeline = timeline(&api)?;
    Ok(answer(&api, timeline.newest(), &timeline))
}

/// Put a catalogue in force, on every instance in three seconds. What somebody owns cannot be left out: retire it with
/// `"available": false`. With `If-Match` only where nobody has changed it meanwhile.
#[utoipa::path(
    put, path = "/api/v1/admin/catalog", tag = "admin", request_body = CatalogRequest,
    params(("If-Match" = Option<String>, Header)),
    responses((status = 200, body = AdminCatalogWire, headers(("ETag" = String)))),
    security(("operator" = []))
)]
pub async fn replace_catalog(
    api: web::Data<Api>,
    request: HttpRequest,
    _: Operator,
    body: Body<CatalogRequest>,
) -> Result<HttpResponse, Problem> {
    let timeline = timeline(&api)?;
    if body.value.rules.as_ref().is_some_and(|rules| *rules != RulesWire::from(&*timeline.rules)) {
        return Err(Problem::unacceptable("rules", "cannot be changed here"));
    }
    let expected = expected_version(&request)?;
    let items = body
        .value
        .into_items()
        .map_err(|(field, message)| Problem::unacceptable(field, message))?;
    let catalogue = api.catalogues.replace(items, expected).await.map_err(|error| match error {
        ReplaceError::Faulty(faults) => faults.into(),
        ReplaceError::Outdated(version) => {
            let detail = format!("The newest catalogue is version {version}.");
            Problem::new(Code::VersionMismatch, detail).with("version", version)
        }
        ReplaceError::Store(error) => error.into(),
    })?;
    Ok(answer(&api, &catalogue, &timeline))
}

fn expected_version(request: &HttpRequest) -> Result<Option<u64>, Problem> {
    let Some(value) = request.headers().get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let version = version.and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| Problem::malformed("If-Match", "is not the tag of a catalogue"))
}
