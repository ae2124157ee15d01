//! Reading the settings of the log and of exported telemetry.

use super::Read;
use crate::config::{CollectorConfig, ExportConfig, LogConfig, LogFormat, Secret};

impl Read<'_> {
    pub(super) fn log(&mut self) -> LogConfig {
        let format = match self.text("LOG_FORMAT").as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => {
                self.fault("LOG_FORMAT", format!("must be text or json, but is `{other}`"));
                LogFormat::Text
            }
        };
        let filter = self.text("RUST_LOG");
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&filter) {
            self.fault("RUST_LOG", error);
        }
        LogConfig { format, filter }
    }

    pub(super) fn export(&mut self) -> ExportConfig {
        let endpoint = self.given("OTEL_EXPORTER_OTLP_ENDPOINT").map(str::to_owned);
        if let Some(endpoint) = &endpoint {
            if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
                self.fault(
                    "OTEL_EXPORTER_OTLP_ENDPOINT",
                    "must be a URL such as http://collector:4318",
                );
            }
            self.only_with("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp", cfg!(feature = "otlp"));
        }
        let sample_ratio = self.parsed("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", 0.0);
        if !(0.0..=1.0).contains(&sample_ratio) {
            self.fault("OTEL_TRACES_SAMPLER_ARG", "must be a number from 0 to 1");
        }
        let sentry_dsn = self.given("SENTRY_DSN").map(Secret::new);
        if let Some(dsn) = &sentry_dsn {
            let has_form = dsn.reveal().starts_with("http") && dsn.reveal().contains('@');
            if !has_form {
                // The message does not repeat the value, which contains a key.
                self.fault("SENTRY_DSN", "must have the form https://key@host/number");
            }
            self.only_with("SENTRY_DSN", "sentry", cfg!(feature = "sentry"));
        }
        let collector = endpoint.map(|endpoint| CollectorConfig { endpoint, sample_ratio });
        ExportConfig { collector, sentry_dsn }
    }

    /// Reports an error if a variable is set whose feature this build does not have.
    fn only_with(&mut self, name: &str, feature: &str, is_built_in: bool) {
        if !is_built_in {
            self.fault(name, format!("needs a build with --features {feature}"));
        }
    }
}
