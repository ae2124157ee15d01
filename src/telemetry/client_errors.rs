//! Log lines that any client can cause, for example by sending bytes that are not HTTP. The HTTP library logs them as
//! warnings and errors, but they require no action by an operator. So they are counted, and neither logged nor
//! reported, whatever `RUST_LOG` says.

use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

use prometheus::{IntCounter, Registry};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::layer::Context;

use super::AnyLayer;

/// Modules that implement the protocol. Their warnings and errors concern invalid data from a client, or its
/// disconnection.
const PROTOCOL_MODULES: [&str; 2] = ["actix_http::h1", "actix_http::h2"];
/// The module that accepts connections. It logs for example that the process has too many open files.
const ACCEPT_MODULE: &str = "actix_server::accept";

static BROKEN_CONNECTIONS: LazyLock<Option<IntCounter>> = LazyLock::new(|| {
    counter(
        "http_connections_broken_total",
        "Connections closed because they did not carry valid HTTP",
    )
});
static ACCEPT_FAILURES: LazyLock<Option<IntCounter>> = LazyLock::new(|| {
    counter("http_accept_failures_total", "Connections that could not be accepted")
});
/// Why the last connection could not be accepted; cleared by [`take_accept_failure`].
static LAST_ACCEPT_FAILURE: Mutex<Option<String>> = Mutex::new(None);

fn counter(name: &str, help: &str) -> Option<IntCounter> {
    // An error means that the name is invalid, which a test would show.
    IntCounter::new(name, help).ok()
}

/// Counters of the whole process, for the metrics of each server in it.
pub(super) fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    for counter in [&*BROKEN_CONNECTIONS, &*ACCEPT_FAILURES].into_iter().flatten() {
        registry.register(Box::new(counter.clone()))?;
    }
    Ok(())
}

/// Why the last connection could not be accepted; `None` if there was no failure since the previous call.
pub fn take_accept_failure() -> Option<String> {
    LAST_ACCEPT_FAILURE.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A filter that excludes the lines that clients cause.
pub(super) fn excluded() -> FilterFn {
    filter_fn(|metadata| !is_client_error(metadata))
}

/// A layer that counts the lines that clients cause.
pub(super) fn counting() -> AnyLayer {
    // Without the hint, the most detailed events of all modules would be evaluated.
    let filter = filter_fn(is_client_error).with_max_level_hint(LevelFilter::WARN);
    Counting.with_filter(filter).boxed()
}

fn is_client_error(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let is_protocol = PROTOCOL_MODULES.iter().any(|module| is_within(target, module));
    metadata.is_event()
        && *metadata.level() <= Level::WARN
        && (is_protocol || target == ACCEPT_MODULE)
}

fn is_within(target: &str, module: &str) -> bool {
    target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

struct Counting;

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let accepting = event.metadata().target() == ACCEPT_MODULE;
        if let Some(counter) = if accepting { &*ACCEPT_FAILURES } else { &*BROKEN_CONNECTIONS } {
            counter.inc();
        }
        if accepting {
            let mut message = Message::default();
            event.record(&mut message);
            *LAST_ACCEPT_FAILURE.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.0);
        }
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The targets of the events that passed.
    #[derive(Clone, Default)]
    struct Passed(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Passed {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let metadata = event.metadata();
            let line = format!("{} {}", metadata.level(), metadata.target());
            self.0.lock().expect("not poisoned").push(line);
        }
    }

    #[test]
    fn client_errors_are_counted_and_not_logged() {
        let passed = Passed::default();
        let layers: Vec<AnyLayer> =
            vec![passed.clone().with_filter(excluded()).boxed(), counting()];
        let counts = || {
            [&*BROKEN_CONNECTIONS, &*ACCEPT_FAILURES]
                .map(|it| it.as_ref().expect("a counter").get())
        };
        let before = counts();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layers), || {
            tracing::error!(target: "actix_http::h1::dispatcher", "stream error");
            tracing::warn!(target: "actix_http::h2::dispatcher", "send data error");
            tracing::error!(target: "actix_server::accept", "Error accepting connection: {}", 24);
            tracing::debug!(target: "actix_http::h1::dispatcher", "a debug line");
            tracing::error!(target: "actix_http::h1like", "another module");
            tracing::error!(target: "actix_server::server", "Worker 1 has died; restarting");
            tracing::error!(target: "idlewatt::http", "a request failed");
        });
        // Other tests may have clients that disconnect.
        let after = counts();
        assert!(after[0] >= before[0] + 2 && after[1] > before[1], "{before:?} {after:?}");
        assert_eq!(take_accept_failure().as_deref(), Some("Error accepting connection: 24"));
        assert_eq!(take_accept_failure(), None);
        assert_eq!(
            *passed.0.lock().expect("not poisoned"),
            [
                "DEBUG actix_http::h1::dispatcher",
                "ERROR actix_http::h1like",
                "ERROR actix_server::server",
                "ERROR idlewatt::http",
            ]
        );
    }
}
