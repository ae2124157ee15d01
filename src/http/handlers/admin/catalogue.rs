//! Operators read and replace the catalogue.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::api::problem::{Code, Problem};
use crate::api::wire::{AdminCatalogWire, CatalogRequest, CatalogWire, RulesWire};
use crate::catalogue::ReplaceError;
use crate::domain::{Catalogue, Rules, Timeline};
use crate::http::extract::{Body, Operator};
use crate::http::pages::etag;
use crate::http::{Api, json_with};

fn timeline(api: &Api) -> Result<std::sync::Arc<Timeline>, Problem> {
    let timeline = api.catalogues.timeline();
    timeline.map_err(|error| Problem::unavailable("The server is starting.", error))
}

fn answer(api: &Api, catalogue: &Catalogue, timeline: &Timeline) -> Result<HttpResponse, Problem> {
    let wire = AdminCatalogWire {
        catalog: CatalogWire::new(catalogue, &timeline.rules),
        version_in_force: timeline.at(api.game.now()).version,
    };
    let mut response = HttpResponse::build(StatusCode::OK);
    let (version, in_force) = (wire.catalog.version, wire.version_in_force);
    let tag = format!("\"{version}-{in_force}-{}\"", digest(&wire.catalog)?);
    response.insert_header((header::ETAG, tag));
    Ok(json_with(response, &wire))
}

fn digest(catalog: &CatalogWire) -> Result<String, Problem> {
    Ok(etag::digest(&serde_json::to_vec(catalog).map_err(Problem::internal)?))
}

/// The catalogue that `If-Match` names, by entity tag or version. The version in force is part of the tag but is not
/// compared, because it changes without a request.
struct Expected {
    version: u64,
    digest: Option<String>,
}

impl Expected {
    /// The catalogue that the request expects; `None` if it accepts any.
    fn of(request: &HttpRequest) -> Result<Option<Self>, Problem> {
        let Some(value) = request.headers().get(header::IF_MATCH) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(None);
        }
        let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let expected = tag.and_then(|tag| {
            let mut parts = tag.splitn(3, '-');
            let version = parts.next()?.parse().ok()?;
            let digest = parts.nth(1).map(str::to_owned);
            Some(Self { version, digest })
        });
        let malformed = || Problem::malformed("If-Match", "is not the entity tag of a catalogue");
        expected.map(Some).ok_or_else(malformed)
    }

    fn matches(&self, catalogue: &Catalogue, rules: &Rules) -> bool {
        let digest_is = |expected: &String| {
            digest(&CatalogWire::new(catalogue, rules)).is_ok_and(|digest| digest == *expected)
        };
        self.version == catalogue.version && self.digest.as_ref().is_none_or(digest_is)
    }
}

/// Read the latest catalogue, which may not be in force yet.
#[utoipa::path(
    get, path = "/api/v1/admin/catalog", tag = "admin", operation_id = "adminReadCatalog",
    responses((status = 200, body = AdminCatalogWire, headers(("ETag" = String)))),
    security(("operator" = []))
)]
pub async fn read_catalog(api: web::Data<Api>, _: Operator) -> Result<HttpResponse, Problem> {
    let timeline = timeline(&api)?;
    answer(&api, timeline.newest(), &timeline)
}

/// Replace the catalogue. The new catalogue is in force on every instance after three seconds. Items that a player owns
/// cannot be removed; retire them with `"available": false`. With `If-Match` (an entity tag of `GET` or a version in
/// quotes) the catalogue is replaced only if it has not changed since.
#[utoipa::path(
    put, path = "/api/v1/admin/catalog", tag = "admin", operation_id = "adminReplaceCatalog",
    request_body = CatalogRequest,
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
    let expected = Expected::of(&request)?;
    let is_expected = |newest: &Catalogue| {
        expected.as_ref().is_none_or(|expected| expected.matches(newest, &timeline.rules))
    };
    let items = body
        .value
        .into_items()
        .map_err(|(field, message)| Problem::unacceptable(field, message))?;
    let catalogue =
        api.catalogues.replace(items, is_expected).await.map_err(|error| match error {
            ReplaceError::Faulty(faults) => faults.into(),
            ReplaceError::Outdated(version) => {
                let detail = format!("The latest catalogue is version {version}.");
                Problem::new(Code::VersionMismatch, detail).with("version", version)
            }
            ReplaceError::Store(error) => error.into(),
        })?;
    answer(&api, &catalogue, &timeline)
}
