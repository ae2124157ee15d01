//! The list of variables, for the help text and `.env.example`.

/// An environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    /// The default as text; empty if there is none.
    pub default: &'static str,
    pub help: &'static str,
}

const fn variable(name: &'static str, default: &'static str, help: &'static str) -> Variable {
    Variable { name, default, help }
}

/// All variables.
pub const VARIABLES: [Variable; 39] = [
    variable("HOST", "127.0.0.1", "Address to listen on; 0.0.0.0 in a container"),
    variable("PORT", "8080", "Port of the API; 0 binds a free one"),
    variable("METRICS_HOST", "127.0.0.1", "Address of the operator port"),
    variable("METRICS_PORT", "9090", "Operator port, with /metrics; 0 binds a free one"),
    variable("HTTP_WORKERS", "0", "Threads that serve requests; 0 means one per core"),
    variable(
        "KEEP_ALIVE_SECONDS",
        "75",
        "Seconds for which an idle connection stays open; must be longer than the load balancer keeps its connections",
    ),
    variable(
        "CORS_ALLOWED_ORIGINS",
        "",
        "Origins of pages that may call the API, separated by commas; one `*` in the first label of a host matches letters, digits and hyphens, as in https://*--name.netlify.app",
    ),
    variable(
        "ADMIN_TOKEN",
        "",
        "Operator token, 16 bytes or more; without one the admin routes answer 404",
    ),
    variable(
        "TRUSTED_PROXY_HOPS",
        "0",
        "Proxies in front of the server that append the client's address to X-Forwarded-For or Forwarded",
    ),
    variable(
        "DRAIN_DELAY_SECONDS",
        "2",
        "Seconds for which requests are accepted after SIGTERM; must be longer than the load balancer needs to notice",
    ),
    variable(
        "DATABASE_URL",
        "",
        "An external Postgres, as postgres://user:password@host/database; without one the server runs an embedded Postgres",
    ),
    variable(
        "DATABASE_CA_FILE",
        "",
        "PEM file with the certificate authorities of the database; the public ones by default",
    ),
    variable(
        "DATABASE_POOLER",
        "auto",
        "Pooler in front of the database: none (also for session mode), transaction, or auto, which recognises hosts such as x-pooler",
    ),
    variable("DATABASE_POOL_SIZE", "16", "Largest number of connections to Postgres"),
    variable(
        "REDIS_URL",
        "",
        "Redis, as redis://user:password@host/0 or rediss://; several nodes of a cluster are separated by commas",
    ),
    variable("REDIS_KEY_PREFIX", "idlewatt:", "Prefix of every key and channel in Redis"),
    variable(
        "REDIS_CA_FILE",
        "",
        "PEM file with the certificate authority of Redis; the public ones by default",
    ),
    variable("CACHE_MEGABYTES", "64", "Memory of the cache of players, in megabytes"),
    variable("DATA_DIR", "./data", "Folder of the embedded Postgres and of the secret"),
    variable(
        "PG_BINDIR",
        "",
        "Folder of the programs postgres and initdb; searched for by default",
    ),
    variable(
        "JWT_SECRET",
        "",
        "Secret that signs access tokens, 32 bytes or more; required with DATABASE_URL",
    ),
    variable("JWT_SECRET_PREVIOUS", "", "The previous secret, which is still accepted"),
    variable("ACCESS_TOKEN_TTL_SECONDS", "900", "Seconds for which an access token is valid"),
    variable("SESSION_TTL_DAYS", "90", "Days for which a session is valid without a refresh"),
    variable(
        "PASSWORD_HASH_CONCURRENCY",
        "0",
        "Passwords that are hashed at the same time; 0 means one per two cores",
    ),
    variable(
        "RATE_LIMIT_PER_SECOND",
        "10",
        "Calls per second of a player, and of an address without a token; 0 means no limit",
    ),
    variable("RATE_LIMIT_BURST", "20", "Calls of those that are allowed at once"),
    variable(
        "RATE_LIMIT_AUTH_PER_MINUTE",
        "30",
        "Calls per minute of an address to sign in, register and create a guest; 0 means no limit",
    ),
    variable(
        "RATE_LIMIT_LOGIN_PER_USERNAME_PER_MINUTE",
        "20",
        "Sign-ins per minute with one username, from any address; 0 means no limit",
    ),
    variable(
        "RATE_LIMIT_LEASES",
        "on",
        "Whether instances lease tokens from Redis: on, or off, with which each call asks Redis",
    ),
    variable(
        "OFFLINE_CAP_SECONDS",
        "28800",
        "Seconds for which production continues while the player is absent",
    ),
    variable(
        "ROLE",
        "all",
        "What the process does: api serves requests, worker runs jobs, all does both",
    ),
    variable(
        "JOB_LEASE_SECONDS",
        "15",
        "Seconds after which a job is taken over from a worker that does not respond, 25 at most",
    ),
    variable("JOB_CONCURRENCY", "2", "Jobs that the process runs at the same time"),
    variable("LOG_FORMAT", "text", "Format of log lines: text or json"),
    variable(
        "RUST_LOG",
        "info,actix_server=warn",
        "Log filter: a level, or directives such as idlewatt=debug",
    ),
    variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "OpenTelemetry collector that receives spans, as http://collector:4318; needs the feature otlp",
    ),
    variable(
        "OTEL_TRACES_SAMPLER_ARG",
        "0.01",
        "Fraction of requests whose spans are sent, from 0 to 1, if the caller's traceparent does not decide",
    ),
    variable("SENTRY_DSN", "", "Sentry DSN to which errors are reported; needs the feature sentry"),
];
