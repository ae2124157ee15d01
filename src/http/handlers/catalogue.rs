//! The catalogue.

use std::cell::RefCell;
use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::api::problem::Problem;
use crate::api::wire::CatalogWire;
use crate::domain::{Catalogue, Rules};
use crate::http::Api;
use crate::http::pages::ready::Ready;
use crate::http::thread_state::worker;

const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=5");

/// The page of the catalogue in force, made once for each catalogue.
#[derive(Debug, Default)]
pub struct CatalogPage(RefCell<Option<Page>>);

#[derive(Debug)]
struct Page {
    /// Compared by address, because a restored database may reuse version numbers.
    catalogue: Arc<Catalogue>,
    ready: Ready,
}

impl Page {
    fn new(catalogue: &Arc<Catalogue>, rules: &Rules) -> Result<Self, Problem> {
        let body = serde_json::to_vec(&CatalogWire::new(catalogue, rules));
        let ready = Ready::new(body.map_err(Problem::internal)?)?;
        Ok(Self { catalogue: Arc::clone(catalogue), ready })
    }
}

impl CatalogPage {
    /// Answers with the page of `catalogue`.
    fn answer(
        &self,
        request: &HttpRequest,
        catalogue: &Arc<Catalogue>,
        rules: &Rules,
    ) -> Result<HttpResponse, Problem> {
        let mut held = self.0.borrow_mut();
        let page = match held.take().filter(|page| Arc::ptr_eq(&page.catalogue, catalogue)) {
            Some(page) => page,
            None => Page::new(catalogue, rules)?,
        };
        Ok(held.insert(page).ready.answer(request, PUBLIC))
    }
}

/// Read what can be bought, and the rules.
#[utoipa::path(
    get, path = "/api/v1/catalog", tag = "game", operation_id = "readCatalog",
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
    worker(&request)?.catalog_page.answer(&request, catalogue, &timeline.rules)
}
