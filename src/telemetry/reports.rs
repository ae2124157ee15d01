//! Errors sent to Sentry, if a DSN is configured: log lines at the level ERROR, and panics. A report contains only what
//! the log line contains.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sentry::protocol::{Event, Level, Value};
use sentry::types::Dsn;
use sentry::{ClientInitGuard, ClientOptions};
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, LevelFilter};
use tracing_subscriber::layer::Context;

use super::{AnyLayer, client_errors};
use crate::config::Secret;

/// The connection to Sentry. Dropping it sends the remaining reports.
pub(super) struct Reports {
    _guard: ClientInitGuard,
}

impl Reports {
    pub(super) fn start(dsn: &Secret, layers: &mut Vec<AnyLayer>) -> Option<Self> {
        // `ClientOptions::dsn` panics if the DSN is invalid.
        if Dsn::from_str(dsn.reveal()).is_err() {
            tracing::error!("SENTRY_DSN is not a valid DSN; errors are not reported");
            return None;
        }
        let options = ClientOptions::new()
            .dsn(dsn.reveal())
            .release(concat!("idlewatt@", env!("CARGO_PKG_VERSION")))
            .send_default_pii(false)
            .shutdown_timeout(Duration::from_secs(3));
        let guard = sentry::init(options);
        layers.push(Errors.with_filter(LevelFilter::ERROR.and(client_errors::excluded())).boxed());
        Some(Self { _guard: guard })
    }
}

/// Reports each event that passes its filter.
struct Errors;

impl<S: tracing::Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        sentry::capture_event(Event {
            level: Level::Error,
            logger: Some(event.metadata().target().to_owned()),
            message: Some(fields.message),
            extra: fields.others,
            ..Event::default()
        });
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<String, Value>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.insert(field.name().to_owned(), text.into());
        }
    }
}
