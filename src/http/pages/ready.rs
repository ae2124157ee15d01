//! Pages that many clients request, kept as rendered bytes for a moment.

use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use crate::api::problem::Problem;
use crate::generations::Generations;
use crate::http::JSON;
use crate::http::pages::etag;

/// Pages in each of the two generations.
const CAPACITY: usize = 500;

/// A body with its strong entity tag.
#[derive(Clone, Debug)]
pub struct Ready {
    etag: HeaderValue,
    body: Bytes,
}

impl Ready {
    /// Calculates the entity tag of a body.
    ///
    /// # Errors
    /// None in practice, because a digest is plain text.
    pub fn new(body: Vec<u8>) -> Result<Self, Problem> {
        let etag = format!("\"{}\"", etag::digest(&body));
        let etag = HeaderValue::from_str(&etag).map_err(Problem::internal)?;
        Ok(Self { etag, body: Bytes::from(body) })
    }

    /// Answers with the body, or with 304 if the client has it.
    pub fn answer(&self, request: &HttpRequest, cache_control: HeaderValue) -> HttpResponse {
        let unchanged = etag::matches(request, &self.etag);
        let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        // Appending a header is cheaper than inserting one, which searches for a value to replace.
        response
            .append_header((header::ETAG, self.etag.clone()))
            .append_header((header::CACHE_CONTROL, cache_control));
        if unchanged {
            return response.finish();
        }
        response.append_header((header::CONTENT_TYPE, JSON)).body(self.body.clone())
    }
}

/// The content of a page.
pub trait Content: Send + Sync {
    /// The JSON, which says whether newer scores are missing.
    ///
    /// # Errors
    /// Those of serde.
    fn body(&self, stale: bool) -> Result<Vec<u8>, serde_json::Error>;
}

/// A loaded page.
pub struct Page {
    content: Box<dyn Content>,
    fresh: Ready,
    stale: OnceLock<Ready>,
    /// The generation of the boards from which the page was made.
    generation: u64,
    loaded_at: Instant,
}

impl Page {
    /// Makes a page from boards of this generation.
    ///
    /// # Errors
    /// Those of serde.
    pub fn new(content: Box<dyn Content>, generation: u64) -> Result<Self, Problem> {
        let fresh = Ready::new(content.body(false).map_err(Problem::internal)?)?;
        let (stale, loaded_at) = (OnceLock::new(), Instant::now());
        Ok(Self { content, fresh, stale, generation, loaded_at })
    }

    /// The rendered page, which says whether newer scores are missing.
    ///
    /// # Errors
    /// Those of serde.
    pub fn ready(&self, stale: bool) -> Result<&Ready, Problem> {
        if !stale {
            return Ok(&self.fresh);
        }
        if let Some(ready) = self.stale.get() {
            return Ok(ready);
        }
        let ready = Ready::new(self.content.body(true).map_err(Problem::internal)?)?;
        Ok(self.stale.get_or_init(|| ready))
    }
}

/// The place of a page.
#[derive(Default)]
struct Slot {
    page: RwLock<Option<Arc<Page>>>,
    /// Locked during a load, so that concurrent requests cause one load.
    loading: tokio::sync::Mutex<()>,
}

impl Slot {
    fn page(&self) -> Option<Arc<Page>> {
        self.page.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The pages that were requested most recently, by key.
pub struct ReadyPages<K>(Mutex<Generations<K, Arc<Slot>>>);

impl<K: Copy + Eq + Hash> Default for ReadyPages<K> {
    fn default() -> Self {
        Self(Mutex::new(Generations::new(CAPACITY)))
    }
}

/// A page, and whether it is an old one because a newer one could not be loaded.
pub struct Found {
    pub page: Arc<Page>,
    pub is_last: bool,
}

impl<K: Copy + Eq + Hash> ReadyPages<K> {
    fn slot(&self, key: K) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.get_or_default(key))
    }

    /// Whether a page was ever loaded for this key.
    pub fn holds(&self, key: K) -> bool {
        self.slot(key).page().is_some()
    }

    /// The page, if it is not older than `keep` and was made from boards of `generation`; otherwise the one that `load`
    /// makes. If loading fails, the last page is returned.
    ///
    /// # Errors
    /// Returns the error of `load` if no page was ever loaded.
    pub async fn get<E>(
        &self,
        key: K,
        keep: Duration,
        generation: u64,
        load: impl AsyncFnOnce() -> Result<Page, E>,
        gives_way: impl Fn(&E) -> bool,
    ) -> Result<Found, E> {
        let slot = self.slot(key);
        let is_fresh =
            |page: &Arc<Page>| page.generation == generation && page.loaded_at.elapsed() < keep;
        let held = slot.page();
        if let Some(page) = held.clone().filter(is_fresh) {
            return Ok(Found { page, is_last: false });
        }
        let _loading = match (slot.loading.try_lock(), held) {
            (Ok(loading), _) => loading,
            // Another request is loading. A page that was fresh a moment ago need not wait.
            (Err(_), Some(page)) if page.loaded_at.elapsed() < 2 * keep => {
                return Ok(Found { page, is_last: false });
            }
            (Err(_), _) => slot.loading.lock().await,
        };
        if let Some(page) = slot.page().filter(is_fresh) {
            return Ok(Found { page, is_last: false });
        }
        match (load().await, slot.page()) {
            (Ok(page), _) => {
                let page = Arc::new(page);
                *slot.page.write().unwrap_or_else(PoisonError::into_inner) =
                    Some(Arc::clone(&page));
                Ok(Found { page, is_last: false })
            }
            (Err(error), Some(page)) if gives_way(&error) => {
                drop(error);
                Ok(Found { page, is_last: true })
            }
            (Err(error), _) => Err(error),
        }
    }
}
