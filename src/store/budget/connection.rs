//! A connection in use.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use deadpool_postgres::{ClientWrapper, Object};

use super::Budget;

/// A connection in use. It returns to its pool when it is dropped.
pub struct Connection {
    // Fields are dropped in this order: a caller that is notified finds the connection in its pool.
    object: Object,
    _notify: NotifyOnDrop,
}

impl Connection {
    pub(super) fn new(object: Object, budget: Arc<Budget>) -> Self {
        Self { object, _notify: NotifyOnDrop(budget) }
    }

    /// Closes the connection.
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

/// Notifies callers that wait for a connection when it is dropped.
struct NotifyOnDrop(Arc<Budget>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.returned();
    }
}
