//! The list of variables, for the help text and `.env.example`.

/// An environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    /// What holds without it, as text; empty for nothing.
    pub default: &'static str,
    pub help: &'static str,
}

const fn variable(name: &'static str, default: &'static str, help: &'static str) -> Variable {
    Variable { name, default, help }
}

/// Every variable there is.
pub const VARIABLES: [Variable; 39] = [
    variable("HOST", "127.0.0.1", "Address to listen on; 0.0.0.0 in a container"),
    variable("PORT", "8080", "Port of the API; 0 takes a free one"),
    variable("METRICS_HOST", "127.0.0.1", "Address of the operator port"),
    variable("METRICS_PORT", "9090", "Operator port, with /metrics; 0 takes a free one"),
    variable("HTTP_WORKERS", "0", "Threads that answer requests; 0 is one a core"),
    variable(
        "KEEP_ALIVE_SECONDS",
        "75",
        "Seconds that an idle connection stays open; more than the load balancer in front keeps its own",
    ),
    variable(
        "CORS_ALLOWED_ORIGINS",
        "",
        "Origins of pages that may call the API, separated by commas; one `*` in the first part of a host stands for any letters, digits and hyphens, as in https://*--name.netlify.app",
    ),
    variable(
        "ADMIN_TOKEN",
        "",
        "Bearer token of operators, 16 bytes or more; without one the admin routes are 404",
    ),
    variable(
        "TRUSTED_PROXY_HOPS",
        "0",
        "Proxies in front of the server that append the client's address to X-Forwarded-For or Forwarded",
    ),
    variable(
        "DRAIN_DELAY_SECONDS",
        "2",
        "Seconds that requests are still taken after SIGTERM; more than the balancer takes to notice",
    ),
    variable(
        "DATABASE_URL",
        "",
        "A Postgres, as postgres://user:password@host/database; without one the server runs its own",
    ),
    variable(
        "DATABASE_CA_FILE",
        "",
        "Authorities that vouch for the database's certificate, a PEM file; the public ones where empty",
    ),
    variable(
        "DATABASE_POOLER",
        "auto",
        "Pooler before the database: none (or one in session mode), transaction, or auto, by a host such as x-pooler",
    ),
    variable("DATABASE_POOL_SIZE", "16", "Connections to Postgres at most"),
    variable(
        "REDIS_URL",
        "",
        "A Redis, as redis://user:password@host/0 or rediss://; nodes of a cluster are separated by commas",
    ),
    variable("REDIS_KEY_PREFIX", "idlewatt:", "What every key and channel in Redis begins with"),
    variable(
        "REDIS_CA_FILE",
        "",
        "Certificate authority of Redis' certificate, in PEM form; the public ones where empty",
    ),
    variable("CACHE_MEGABYTES", "64", "Memory for players who are read from it"),
    variable("DATA_DIR", "./data", "Folder of the server's own Postgres and secret"),
    variable(
        "PG_BINDIR",
        "",
        "Folder of the postgres and initdb programs; searched for where empty",
    ),
    variable(
        "JWT_SECRET",
        "",
        "Secret that access tokens are signed with, 32 bytes or more; needed with DATABASE_URL",
    ),
    variable("JWT_SECRET_PREVIOUS", "", "The secret before, still accepted after a change"),
    variable("ACCESS_TOKEN_TTL_SECONDS", "900", "How long an access token holds"),
    variable("SESSION_TTL_DAYS", "90", "How long a session holds without being refreshed"),
    variable(
        "PASSWORD_HASH_CONCURRENCY",
        "0",
        "Passwords hashed at once; 0 is one for every two cores",
    ),
    variable(
        "RATE_LIMIT_PER_SECOND",
        "10",
        "Calls a second of a player, and of an address without a token; 0 is no limit",
    ),
    variable("RATE_LIMIT_BURST", "20", "Calls of theirs that may come at once"),
    variable(
        "RATE_LIMIT_AUTH_PER_MINUTE",
        "30",
        "Calls of an address to sign in, register and become a guest; 0 is no limit",
    ),
    variable(
        "RATE_LIMIT_LOGIN_PER_USERNAME_PER_MINUTE",
        "20",
        "Calls to sign in as one username, from wherever; 0 is no limit",
    ),
    variable(
        "RATE_LIMIT_LEASES",
        "on",
        "Whether an instance takes tokens from Redis in lots: on or off, where each call asks Redis",
    ),
    variable("OFFLINE_CAP_SECONDS", "28800", "Seconds that production goes on without the player"),
    variable(
        "ROLE",
        "all",
        "What the process does: api answers requests, worker works on jobs, all does both",
    ),
    variable(
        "JOB_LEASE_SECONDS",
        "15",
        "Seconds until a job is taken over from a worker that is not heard of, 25 at most",
    ),
    variable("JOB_CONCURRENCY", "2", "Jobs that the process works on at the same time"),
    variable("LOG_FORMAT", "text", "Form of log lines: text or json"),
    variable(
        "RUST_LOG",
        "info,actix_server=warn",
        "What is logged: a level, or directives such as idlewatt=debug",
    ),
    variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "OpenTelemetry collector that spans are sent to, as http://collector:4318; needs the feature otlp",
    ),
    variable(
        "OTEL_TRACES_SAMPLER_ARG",
        "0.01",
        "Share of requests whose spans are sent, from 0 to 1, unless the caller's traceparent says",
    ),
    variable("SENTRY_DSN", "", "Where errors are reported, by Sentry; needs the feature sentry"),
];
