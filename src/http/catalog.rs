//! The catalogue.

use std::cell::RefCell;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;

use super::etag;
use super::problem::Problem;
use super::wire::CatalogWire;
use super::worker::worker;
use super::{Api, JSON};
use crate::domain::{Catalogue, Rules};

const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=5");

/// The page of the catalogue in force, ready-made.
#[derive(Debug, Default)]
pub struct CatalogPage(RefCell<Option<Page>>);

#[derive(Clone, Debug)]
struct Page {
    version: u64,
    etag: HeaderValue,
    body: Bytes,
}

impl CatalogPage {
    fn page(&self, catalogue: &Catalogue, rules: &Rules) -> Result<Page, Problem> {
        let held = self.0.borrow().clone();
        if let Some(page) = held.filter(|page| page.version == catalogue.version) {
            return Ok(page);
        }
        let body = serde_json::to_vec(&CatalogWire::new(catalogue, rules));
        let body = Bytes::from(body.map_err(Problem::internal)?);
        // The rules are the process' own, so instances of different settings must not share a tag.
        let cap = rules.offline_cap_seconds;
        let etag = format!("\"catalog-{}-{cap}\"", catalogue.version);
        let etag = HeaderValue::from_str(&etag).map_err(Problem::internal)?;
        let page = Page { version: catalogue.version, etag, body };
        *self.0.borrow_mut() = Some(page.clone());
        Ok(page)
    }
}

/// Read what can be bought, and the rules.
#[utoipa::path(
    get, path = "/api/v1/catalog", tag = "game",
    params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, body = CatalogWire, headers(("ETag" = String))),
        (status = 304, description = "It is the one that you have")
    )
)]
pub async fn read_catalog(
    api: web::Data<Api>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let timeline = api.catalogues.timeline();
    let timeline = timeline.map_err(|it| Problem::unavailable("The server is starting.", it))?;
    let catalogue = timeline.at(api.game.now());
    let page = worker(&request)?.catalog_page.page(catalogue, &timeline.rules)?;
    let unchanged = etag::matches(&request, &page.etag);
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, page.etag))
        .insert_header((header::CACHE_CONTROL, PUBLIC));
    if unchanged {
        return Ok(response.finish());
    }
    Ok(response.insert_header((header::CONTENT_TYPE, JSON)).body(page.body))
}
