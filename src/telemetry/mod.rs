//! Logs, metrics, and exported telemetry: spans to a collector, errors to Sentry.

pub mod client_errors;
pub mod live;
pub mod metrics;
#[cfg(feature = "sentry")]
mod reports;
pub mod spans;
mod striped;

use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{ExportConfig, LogConfig, LogFormat};

type AnyLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The exporters. Dropping it at the end of the process sends buffered spans and reports.
#[must_use]
#[derive(Default)]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    _spans: Option<spans::Exporter>,
    #[cfg(feature = "sentry")]
    _reports: Option<reports::Reports>,
}

/// Writes events to standard error in the configured format, and exports them if that is configured.
///
/// A second call has no effect on the log, so each test may call it.
pub fn start(log: &LogConfig, export: &ExportConfig) -> Telemetry {
    let mut layers = vec![client_errors::counting(), logs(log)];
    let telemetry = exports(export, &mut layers);
    drop(tracing_subscriber::registry().with(layers).try_init());
    telemetry
}

fn logs(config: &LogConfig) -> AnyLayer {
    let filter = EnvFilter::builder().parse_lossy(&config.filter).and(client_errors::excluded());
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => layer.with_filter(filter).boxed(),
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed()
        }
    }
}

#[cfg_attr(
    not(any(feature = "otlp", feature = "sentry")),
    expect(unused_variables, clippy::ptr_arg, reason = "this build has no exporter")
)]
fn exports(config: &ExportConfig, layers: &mut Vec<AnyLayer>) -> Telemetry {
    Telemetry {
        #[cfg(feature = "otlp")]
        _spans: config.collector.as_ref().and_then(|it| spans::Exporter::start(it, layers)),
        #[cfg(feature = "sentry")]
        _reports: config.sentry_dsn.as_ref().and_then(|it| reports::Reports::start(it, layers)),
    }
}
