//! A connection that a caller uses.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use deadpool_postgres::{ClientWrapper, Object};

use super::Budget;

/// A connection that a caller uses. It returns to its pool when it is dropped.
pub struct Connection {
    // Fields are dropped in this order. The connection must be in its pool again before waiting callers are notified.
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
