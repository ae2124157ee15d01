//! Players read the catalogue.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::api::problem::Problem;
use crate::api::wire::CatalogWire;
use crate::http::Api;
use crate::http::thread_state::thread_state;

/// Read the catalogue in force and the rules.
#[utoipa::path(
    get, path = "/api/v1/catalog", tag = "game", operation_id = "readCatalog",
    params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, body = CatalogWire, headers(("ETag" = String))),
        (status = 304, description = "Not modified")
    )
)]
pub async fn read_catalog(
    api: web::Data<Api>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let timeline = api.catalogues.timeline();
    let timeline = timeline.map_err(|it| Problem::unavailable("The server is starting.", it))?;
    let catalogue = timeline.at(api.game.now());
    thread_state(&request)?.catalog_page.answer(&request, catalogue, &timeline.rules)
}
