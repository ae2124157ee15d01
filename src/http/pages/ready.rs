//! Cached responses as rendered bytes, for pages that many clients request.

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

/// The maximum number of pages in each of the two generations.
const CAPACITY: usize = 500;

/// A rendered body with its strong entity tag.
#[derive(Clone, Debug)]
pub struct Ready {
    etag: HeaderValue,
    body: Bytes,
}

impl Ready {
    /// Calculates the entity tag of a body.
    ///
    /// # Errors
    /// Returns 500 if the tag is not a valid header value, which cannot happen because a digest is ASCII.
    pub fn new(body: Vec<u8>) -> Result<Self, Problem> {
        let etag = format!("\"{}\"", etag::digest(&body));
        let etag = HeaderValue::from_str(&etag).map_err(Problem::internal)?;
        Ok(Self { etag, body: Bytes::from(body) })
    }

    /// A response with the body, or a 304 if the client has the current body.
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
    /// The JSON of the page. Its member `stale` is set to `stale`.
    ///
    /// # Errors
    /// Returns an error if serialization fails.
    fn body(&self, stale: bool) -> Result<Vec<u8>, serde_json::Error>;
}

/// A loaded page.
pub struct Page {
    content: Box<dyn Content>,
    fresh: Ready,
    stale: OnceLock<Ready>,
    /// The generation of the boards from which the page was loaded.
    generation: u64,
    loaded_at: Instant,
}

impl Page {
    /// Renders a page from boards of this generation.
    ///
    /// # Errors
    /// Returns 500 if serialization fails.
    pub fn new(content: Box<dyn Content>, generation: u64) -> Result<Self, Problem> {
        let fresh = Ready::new(content.body(false).map_err(Problem::internal)?)?;
        let (stale, loaded_at) = (OnceLock::new(), Instant::now());
        Ok(Self { content, fresh, stale, generation, loaded_at })
    }

    /// The rendered page with its member `stale` set to `stale`.
    ///
    /// # Errors
    /// Returns 500 if serialization fails.
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

/// The cache entry of a page.
#[derive(Default)]
struct Slot {
    page: RwLock<Option<Arc<Page>>>,
    /// Locked during a load, so that concurrent requests share one load.
    loading: tokio::sync::Mutex<()>,
}

impl Slot {
    fn page(&self) -> Option<Arc<Page>> {
        self.page.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The most recently requested pages, by key.
pub struct ReadyPages<K>(Mutex<Generations<K, Arc<Slot>>>);

impl<K: Copy + Eq + Hash> Default for ReadyPages<K> {
    fn default() -> Self {
        Self(Mutex::new(Generations::new(CAPACITY)))
    }
}

/// A page, and whether it is outdated because a newer one could not be loaded.
pub struct Found {
    pub page: Arc<Page>,
    pub is_outdated: bool,
}

impl<K: Copy + Eq + Hash> ReadyPages<K> {
    fn slot(&self, key: K) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.get_or_default(key))
    }

    /// Whether a page is cached for this key.
    pub fn holds(&self, key: K) -> bool {
        self.slot(key).page().is_some()
    }

    /// The cached page if it is younger than `keep` and was loaded from boards of `generation`; otherwise the result of
    /// `load`. If `load` fails with an error that `allows_stale` accepts, the cached page is returned as outdated.
    ///
    /// # Errors
    /// Returns the error of `load` if no page is cached or if `allows_stale` rejects the error.
    pub async fn get<E>(
        &self,
        key: K,
        keep: Duration,
        generation: u64,
        load: impl AsyncFnOnce() -> Result<Page, E>,
        allows_stale: impl Fn(&E) -> bool,
    ) -> Result<Found, E> {
        let slot = self.slot(key);
        let is_fresh =
            |page: &Arc<Page>| page.generation == generation && page.loaded_at.elapsed() < keep;
        let stored = slot.page();
        if let Some(page) = stored.clone().filter(is_fresh) {
            return Ok(Found { page, is_outdated: false });
        }
        let _loading = match (slot.loading.try_lock(), stored) {
            (Ok(loading), _) => loading,
            // Another request is loading the page. A page that expired only a moment ago is returned without waiting.
            (Err(_), Some(page)) if page.loaded_at.elapsed() < 2 * keep => {
                return Ok(Found { page, is_outdated: false });
            }
            (Err(_), _) => slot.loading.lock().await,
        };
        if let Some(page) = slot.page().filter(is_fresh) {
            return Ok(Found { page, is_outdated: false });
        }
        match (load().await, slot.page()) {
            (Ok(page), _) => {
                let page = Arc::new(page);
                *slot.page.write().unwrap_or_else(PoisonError::into_inner) =
                    Some(Arc::clone(&page));
                Ok(Found { page, is_outdated: false })
            }
            (Err(error), Some(page)) if allows_stale(&error) => {
                drop(error);
                Ok(Found { page, is_outdated: true })
            }
            (Err(error), _) => Err(error),
        }
    }
}
