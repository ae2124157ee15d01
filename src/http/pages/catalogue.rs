//! The cached response with the catalogue in force.

use std::cell::RefCell;
use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse};

use super::ready::Ready;
use crate::api::problem::Problem;
use crate::api::wire::CatalogWire;
use crate::domain::{Catalogue, Rules};

const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=5");

/// The rendered catalogue in force. It is rendered again when the catalogue changes.
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
    /// The response with `catalogue`, which is rendered if the cached page has another one.
    pub fn answer(
        &self,
        request: &HttpRequest,
        catalogue: &Arc<Catalogue>,
        rules: &Rules,
    ) -> Result<HttpResponse, Problem> {
        let mut stored = self.0.borrow_mut();
        let page = match stored.take().filter(|page| Arc::ptr_eq(&page.catalogue, catalogue)) {
            Some(page) => page,
            None => Page::new(catalogue, rules)?,
        };
        Ok(stored.insert(page).ready.answer(request, PUBLIC))
    }
}
