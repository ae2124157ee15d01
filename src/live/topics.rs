//! Topics, of which only the latest value counts. So far there is one: the player's own state.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::connection::Connection;
use super::protocol::server;
use super::worker::Worker;
use crate::api::StatePage;
use crate::game;

/// The name of the topic.
pub const STATE: &str = "state";
/// The pause between two states: at most ten a second.
const PAUSE: Duration = Duration::from_millis(100);

/// The topic `state` of a connection.
#[derive(Debug, Default)]
pub struct StateTopic {
    /// The entity tag of the state that was sent last.
    sent: RefCell<Vec<u8>>,
    /// Whether the state may have changed since it was read.
    is_due: Cell<bool>,
    /// Whether a task reads and sends states.
    is_busy: Cell<bool>,
}

impl Worker {
    /// Sends the state of a connection that has the topic, if it has changed.
    pub fn refresh_state(self: &Rc<Self>, connection: &Rc<Connection>) {
        let topic = connection.session.borrow().as_ref().and_then(|it| it.state.clone());
        let Some(topic) = topic else { return };
        topic.is_due.set(true);
        if !topic.is_busy.replace(true) {
            let (worker, connection) = (Rc::clone(self), Rc::clone(connection));
            tokio::task::spawn_local(async move {
                worker.send_states(&connection, &topic).await;
                topic.is_busy.set(false);
            });
        }
    }

    /// As [`Worker::refresh_state`], for all connections of a player here.
    pub fn refresh_player(self: &Rc<Self>, player: Uuid) {
        for connection in self.connections_of(player) {
            self.refresh_state(&connection);
        }
    }

    /// Sends states until none is due. A slow reader gets the newest one when it has read everything else.
    async fn send_states(&self, connection: &Rc<Connection>, topic: &Rc<StateTopic>) {
        while topic.is_due.get() && connection.drained().await {
            let handle = match connection.session.borrow().as_ref() {
                // The topic may have been switched off, or off and on again.
                Some(session) if session.state.as_ref().is_some_and(|it| Rc::ptr_eq(it, topic)) => {
                    session.handle.clone()
                }
                _ => return,
            };
            topic.is_due.set(false);
            let started = Instant::now();
            let state = match self.services().game.state(&handle).await {
                Ok(state) => state,
                // The end of the session is noticed elsewhere.
                Err(game::Error::NoSuchPlayer | game::Error::Banned) => return,
                Err(error) => {
                    tracing::debug!(%error, "a state could not be read");
                    // The next sweep tries again.
                    return;
                }
            };
            let Ok(page) = StatePage::of(&state) else { return };
            let Ok(tag) = page.tag() else { return };
            if *topic.sent.borrow() == tag {
                continue;
            }
            let mut body = Vec::new();
            if page.write(&mut body).is_err() {
                return;
            }
            self.send(connection, &server::state(&body));
            self.metrics().states.inc();
            topic.sent.replace(tag);
            sleep_until(started + PAUSE).await;
        }
    }
}
