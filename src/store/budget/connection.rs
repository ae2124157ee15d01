//! A connection in use.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use deadpool_postgres::{ClientWrapper, Object};

use super::Budget;

/// A connection in use. Dropped, it goes back to its pool.
pub struct Connection {
    // Dropped in this order: whoever is told finds the connection in its pool.
    object: Object,
    _told: Told,
}

impl Connection {
    pub(super) fn new(object: Object, budget: Arc<Budget>) -> Self {
        Self { object, _told: Told(budget) }
    }

    /// Closes it.
    pub fn close(self) {
        drop(Object::take(self.object));
    }
}

impl Deref for Connection {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.object
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.object
    }
}

/// Tells those who wait for a connection when it is dropped.
struct Told(Arc<Budget>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.returned();
    }
}
