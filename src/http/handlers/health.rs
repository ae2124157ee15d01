//! Health checks for load balancers and probes.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::health::{Health, JobsHealth, Readiness, WritesHealth};
use crate::http::Api;

/// Whether the process is alive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub struct HealthWire {
    status: HealthStatusWire,
}

/// Always `ok`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HealthStatus)]
pub enum HealthStatusWire {
    Ok,
}

/// Whether the process should receive requests.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
pub struct ReadinessWire {
    status: ReadinessStatusWire,
    checks: ChecksWire,
}

/// The state of the process.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReadinessStatus)]
pub enum ReadinessStatusWire {
    Ok,
    Degraded,
    Starting,
    Draining,
}

/// The state of each dependency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Checks)]
pub struct ChecksWire {
    postgres: CheckWire,
    redis: CheckWire,
    jobs: CheckWire,
}

/// The state of a dependency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Check)]
pub struct CheckWire {
    status: CheckStatusWire,
    /// In milliseconds, with a precision of a microsecond; null if the dependency did not respond.
    #[schema(required)]
    latency_ms: Option<f64>,
}

/// The state of a dependency. `read_only`: Postgres accepts no writes, for example because it is a standby. `degraded`:
/// Postgres accepts no writes because its disk is full or faulty, or due jobs are delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CheckStatus)]
pub enum CheckStatusWire {
    Ok,
    Down,
    Disabled,
    ReadOnly,
    Degraded,
}

const DISABLED: CheckWire = CheckWire { status: CheckStatusWire::Disabled, latency_ms: None };

/// Check whether the process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "operators", operation_id = "checkHealth",
    responses((status = 200, body = HealthWire))
)]
pub async fn healthz() -> HttpResponse {
    respond(StatusCode::OK, &HealthWire { status: HealthStatusWire::Ok })
}

/// Check whether the process should receive requests.
#[utoipa::path(
    get, path = "/readyz", tag = "operators", operation_id = "checkReadiness",
    responses(
        (
            status = 200,
            description = "`ok`, or `degraded`: reads work, but a dependency is down or Postgres accepts no writes",
            body = ReadinessWire),
        (status = 503, description = "`starting` or `draining`", body = ReadinessWire)
    )
)]
pub async fn readyz(api: web::Data<Api>) -> HttpResponse {
    let redis_is_down = api.redis.as_ref().is_some_and(|redis| !redis.is_up());
    let (code, status) = match api.health.readiness() {
        Readiness::Ready if redis_is_down => (StatusCode::OK, ReadinessStatusWire::Degraded),
        Readiness::Ready => (StatusCode::OK, ReadinessStatusWire::Ok),
        Readiness::Degraded => (StatusCode::OK, ReadinessStatusWire::Degraded),
        Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, ReadinessStatusWire::Starting),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, ReadinessStatusWire::Draining),
    };
    let postgres = postgres(&api.health);
    let redis = api.redis.as_ref().map_or(DISABLED, |redis| answering(redis.latency()));
    let checks = ChecksWire { postgres, redis, jobs: jobs(api.health.jobs()) };
    respond(code, &ReadinessWire { status, checks })
}

fn answering(latency: Option<Duration>) -> CheckWire {
    let status = if latency.is_some() { CheckStatusWire::Ok } else { CheckStatusWire::Down };
    CheckWire { status, latency_ms: latency.map(millis) }
}

fn postgres(health: &Health) -> CheckWire {
    let check = answering(health.database_latency());
    match health.writes() {
        WritesHealth::ReadOnly if check.status == CheckStatusWire::Ok => {
            CheckWire { status: CheckStatusWire::ReadOnly, ..check }
        }
        WritesHealth::DiskFault if check.status == CheckStatusWire::Ok => {
            CheckWire { status: CheckStatusWire::Degraded, ..check }
        }
        _ => check,
    }
}

fn jobs(health: JobsHealth) -> CheckWire {
    let (status, latency) = match health {
        JobsHealth::Disabled => return DISABLED,
        JobsHealth::Working(latency) => (CheckStatusWire::Ok, latency),
        JobsHealth::Behind(latency) => (CheckStatusWire::Degraded, Some(latency)),
        JobsHealth::Down => (CheckStatusWire::Down, None),
    };
    CheckWire { status, latency_ms: latency.map(millis) }
}

/// Milliseconds, rounded to whole microseconds to avoid meaningless digits.
fn millis(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 1e6).round() / 1e3
}

fn respond(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((header::RETRY_AFTER, "1"));
    }
    response.insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_microsecond_precision() {
        let printed = |nanos| {
            let check = answering(Some(Duration::from_nanos(nanos)));
            serde_json::to_value(check).expect("JSON")["latency_ms"].to_string()
        };
        assert_eq!(printed(477_600), "0.478");
        assert_eq!(printed(12_000_000), "12.0");
        for micros in 0..20_000 {
            let text = printed(micros * 1000 + 499);
            let (whole, part) = text.split_once('.').expect("a point");
            let digits = format!("{part:0<3}");
            assert_eq!(format!("{whole}{digits}").parse(), Ok(micros), "{text}");
        }
    }
}
