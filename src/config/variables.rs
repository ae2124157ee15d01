//! The list of variables. `.env.example` and docs/operations.md contain the same texts.

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
pub const VARIABLES: [Variable; 46] = [
    variable("HOST", "127.0.0.1", "Address to listen on; 0.0.0.0 in a container"),
    variable("PORT", "8080", "Port of the API; 0 binds a free one"),
    variable("METRICS_HOST", "127.0.0.1", "Address to listen on for the operator port"),
    variable("METRICS_PORT", "9090", "Operator port, which serves /metrics; 0 binds a free one"),
    variable("HTTP_WORKERS", "0", "Threads that serve requests; 0 means one per core"),
    variable(
        "KEEP_ALIVE_SECONDS",
        "75",
        "Seconds after which an idle connection is closed; must be longer than the load balancer keeps idle connections, otherwise it may send a request on a connection that is being closed",
    ),
    variable(
        "CORS_ALLOWED_ORIGINS",
        "",
        "Origins of pages that may call the API, separated by commas; one `*` in the first label of a host matches letters, digits and hyphens, as in https://*--name.netlify.app",
    ),
    variable(
        "ADMIN_TOKEN",
        "",
        "Operator token of 16 bytes or more; without one the admin routes answer 404",
    ),
    variable(
        "TRUSTED_PROXY_HOPS",
        "0",
        "Number of proxies in front of the server that append the client's address to X-Forwarded-For or Forwarded; addresses that the client itself wrote there are ignored",
    ),
    variable(
        "DRAIN_DELAY_SECONDS",
        "2",
        "Seconds for which new requests are still accepted after SIGTERM; must be longer than the load balancer needs to stop sending requests",
    ),
    variable(
        "DATABASE_URL",
        "",
        "An external Postgres, such as postgres://user:password@host/database; without one the server runs an embedded Postgres",
    ),
    variable(
        "DATABASE_CA_FILE",
        "",
        "PEM file with the certificate authorities that may sign the database's certificate; by default the public ones",
    ),
    variable(
        "DATABASE_POOLER",
        "auto",
        "Pooler in front of the database: none (also for a pooler in session mode), transaction, or auto, which means transaction if the first label of the host ends with -pooler, as at Neon",
    ),
    variable(
        "DATABASE_POOL_SIZE",
        "16",
        "Largest number of connections for requests; the lane opens up to 2 more, and jobs up to 9 more",
    ),
    variable(
        "REDIS_URL",
        "",
        "Redis, such as redis://user:password@host/0, or rediss:// with TLS; several nodes of a cluster are separated by commas",
    ),
    variable("REDIS_KEY_PREFIX", "idlewatt:", "Prefix of every key and channel in Redis"),
    variable(
        "REDIS_CA_FILE",
        "",
        "PEM file with the certificate authority that signed the certificate of Redis; by default the public ones",
    ),
    variable("CACHE_MEGABYTES", "64", "Memory for the cache of players, in megabytes"),
    variable("DATA_DIR", "./data", "Folder of the embedded Postgres and of its generated secret"),
    variable(
        "PG_BINDIR",
        "",
        "Folder that contains the programs postgres and initdb; by default the server searches for it",
    ),
    variable(
        "JWT_SECRET",
        "",
        "Secret of 32 bytes or more that signs access tokens; required with DATABASE_URL",
    ),
    variable("JWT_SECRET_PREVIOUS", "", "The previous JWT_SECRET, whose tokens are still accepted"),
    variable("ACCESS_TOKEN_TTL_SECONDS", "900", "Seconds for which an access token is valid"),
    variable("SESSION_TTL_DAYS", "90", "Days for which a session is valid without a refresh"),
    variable(
        "PASSWORD_HASH_CONCURRENCY",
        "0",
        "Passwords that are hashed at the same time; 0 means one for every two cores",
    ),
    variable(
        "RATE_LIMIT_PER_SECOND",
        "10",
        "Calls per second of one player, or of one address without a token; 0 means no limit",
    ),
    variable(
        "RATE_LIMIT_BURST",
        "20",
        "Calls of one player, or of one address without a token, that are allowed at once: the depth of the token bucket",
    ),
    variable(
        "RATE_LIMIT_AUTH_PER_MINUTE",
        "30",
        "Calls per minute of one address to sign in, register or create a guest; 0 means no limit",
    ),
    variable(
        "RATE_LIMIT_LOGIN_PER_USERNAME_PER_MINUTE",
        "20",
        "Sign-ins per minute with one username, from any address; 0 means no limit",
    ),
    variable(
        "RATE_LIMIT_LIVE_PER_SECOND",
        "50",
        "Sockets that one address may open per second; 0 means no limit",
    ),
    variable("RATE_LIMIT_LIVE_BURST", "200", "Sockets that one address may open at once"),
    variable(
        "RATE_LIMIT_LEASES",
        "on",
        "Whether an instance leases several tokens from Redis at once and uses them without asking again: on, or off, with which every call asks Redis",
    ),
    variable(
        "LIVE",
        "on",
        "Whether sockets are accepted, and instances tell each other at once of new events: on, or off while instances of a release without streams run beside this one, with which events arrive up to half a second later",
    ),
    variable("LIVE_MAX_CONNECTIONS", "20000", "Sockets that an instance accepts"),
    variable(
        "LIVE_CONNECTIONS_PER_ADDRESS",
        "2000",
        "Sockets that an instance accepts from one address",
    ),
    variable(
        "LIVE_BUFFER_MEGABYTES",
        "64",
        "Memory for what waits to be sent on all sockets of an instance; beyond it the fullest one is closed",
    ),
    variable(
        "LIVE_DRAIN_SECONDS",
        "4",
        "Seconds over which sockets are closed when the server stops, after DRAIN_DELAY_SECONDS",
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
        "Seconds after which another worker takes over a job whose worker does not respond; at most 25",
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
        "OpenTelemetry collector that receives spans, such as http://collector:4318; needs the feature otlp",
    ),
    variable(
        "OTEL_TRACES_SAMPLER_ARG",
        "0.01",
        "Fraction of requests whose spans are sent, from 0 to 1; the caller's traceparent has precedence",
    ),
    variable("SENTRY_DSN", "", "Sentry DSN to which errors are reported; needs the feature sentry"),
];
