//! Spans: the phases of a request and their durations, sent to a collector by OTLP if one is configured.
//!
//! Spans have the level TRACE and the target `idlewatt::spans`, which no log enables by default. So without a collector
//! a span costs one comparison.

#[cfg(not(feature = "otlp"))]
use tracing::Span;

/// Makes `span` the child of the caller's span, from the header `traceparent`.
#[cfg(not(feature = "otlp"))]
pub fn continue_from(_span: &Span, _traceparent: &str) {}

/// Whether the span will be sent. A lane makes the spans of a batch children of a request that is sampled.
#[cfg(not(feature = "otlp"))]
pub fn is_sampled(_span: &Span) -> bool {
    false
}

#[cfg(feature = "otlp")]
pub use otlp::{Exporter, continue_from, is_sampled};

#[cfg(feature = "otlp")]
mod otlp {
    use std::collections::HashMap;
    use std::fmt;
    use std::future::{Future, ready};
    use std::pin::Pin;
    use std::time::Duration;

    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::{TraceContextExt, TracerProvider};
    use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
    use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::Targets;

    use crate::config::CollectorConfig;
    use crate::telemetry::AnyLayer;

    const TARGET: &str = "idlewatt::spans";
    const SEND_LIMIT: Duration = Duration::from_secs(5);

    /// Makes `span` the child of the caller's span, from the header `traceparent`.
    pub fn continue_from(span: &Span, traceparent: &str) {
        let header = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        let caller = TraceContextPropagator::new().extract(&header);
        if caller.span().span_context().is_valid() && span.set_parent(caller).is_err() {
            tracing::debug!("the parent of a span could not be set");
        }
    }

    /// Whether the span will be sent. A lane makes the spans of a batch children of a request that is sampled.
    pub fn is_sampled(span: &Span) -> bool {
        !span.is_disabled() && span.context().span().span_context().is_sampled()
    }

    /// Sends spans in batches from its own thread. Dropping it sends the remaining ones.
    pub struct Exporter(SdkTracerProvider);

    impl Exporter {
        pub(in crate::telemetry) fn start(
            config: &CollectorConfig,
            layers: &mut Vec<AnyLayer>,
        ) -> Option<Self> {
            let endpoint = format!("{}/v1/traces", config.endpoint.trim_end_matches('/'));
            let exporter = SpanExporter::builder()
                .with_http()
                .with_http_client(Client(
                    ureq::Agent::config_builder()
                        .timeout_global(Some(SEND_LIMIT))
                        .http_status_as_error(false)
                        .build()
                        .new_agent(),
                ))
                .with_endpoint(endpoint)
                .build();
            let exporter = match exporter {
                Ok(exporter) => exporter,
                Err(error) => {
                    tracing::error!(%error, "the exporter of spans could not start; no spans are sent");
                    return None;
                }
            };
            let sampler = Sampler::TraceIdRatioBased(config.sample_ratio);
            let resource = Resource::builder().with_service_name("idlewatt").build();
            let provider = SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_sampler(Sampler::ParentBased(Box::new(sampler)))
                .with_resource(resource)
                .build();
            let layer = tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("idlewatt"))
                .with_location(false)
                .with_threads(false)
                .with_filter(Targets::new().with_target(TARGET, tracing::Level::TRACE));
            layers.push(layer.boxed());
            Some(Self(provider))
        }
    }

    impl Drop for Exporter {
        fn drop(&mut self) {
            if self.0.shutdown_with_timeout(SEND_LIMIT).is_err() {
                tracing::debug!("the last spans were not sent");
            }
        }
    }

    /// A blocking client: the exporter has its own thread, so it needs no asynchronous one.
    struct Client(ureq::Agent);

    impl fmt::Debug for Client {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Client")
        }
    }

    impl Client {
        fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let (head, body) = request.into_parts();
            let answer = self.0.run(Request::from_parts(head, body.to_vec()))?;
            let (head, mut body) = answer.into_parts();
            Ok(Response::from_parts(head, body.read_to_vec()?.into()))
        }
    }

    impl HttpClient for Client {
        fn send_bytes<'life, 'future>(
            &'life self,
            request: Request<Bytes>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
        where
            'life: 'future,
            Self: 'future,
        {
            Box::pin(ready(self.send(request)))
        }
    }
}
