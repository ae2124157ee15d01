//! Servers under test.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use idlewatt::app::{Server, Settings};
use idlewatt::clock::{Clock, ManualClock};
use idlewatt::config::{Config, Secret, Source};
use idlewatt::domain::Timestamp;
use idlewatt::store::Endpoint;
use tokio::task::JoinHandle;

use super::books::eventually;
use super::client::Client;
use super::cluster::{administer, empty_database, new_database};
use super::pooler;
use super::redis::{RedisServer, new_prefix, shared_redis};

pub const ADMIN_TOKEN: &str = "operators-token-of-the-tests";
pub const JWT_SECRET: &str = "a secret of the tests, long enough to sign with";

/// 2026-01-05T00:00:00Z, a Monday.
const START_MICROS: i64 = 1_767_571_200_000_000;

/// A database and a clock that any number of instances share.
#[derive(Clone)]
pub struct World {
    /// How the test connects to the database.
    pub database: tokio_postgres::Config,
    /// How the instances connect to it.
    pub endpoint: Endpoint,
    pub clock: Arc<ManualClock>,
    /// Address and prefix of the keys, if there is a Redis.
    pub redis: Option<(String, String)>,
}

/// Settings that differ from the defaults: environment variables.
pub type Options<'a> = &'a [(&'a str, &'a str)];

/// No limits: while Redis is unavailable the buckets of a process use the test's clock, and do not fill while it stands
/// still.
pub const UNLIMITED: Options<'static> =
    &[("RATE_LIMIT_PER_SECOND", "0"), ("RATE_LIMIT_AUTH_PER_MINUTE", "0")];

impl World {
    /// A new database with the present schema.
    pub async fn new() -> Self {
        Self::of(new_database().await, pooler::is_asked_for())
    }

    /// A new database with nothing in it.
    pub async fn empty() -> Self {
        Self::of(empty_database().await, pooler::is_asked_for())
    }

    /// A database that the test made, with that address.
    pub fn on(database: tokio_postgres::Config, endpoint: Endpoint) -> Self {
        Self { database, endpoint, clock: clock(), redis: None }
    }

    /// The same with the shared Redis.
    pub fn with_redis(self) -> Self {
        Self { redis: Some((shared_redis().to_owned(), new_prefix())), ..self }
    }

    /// The same with a Redis of the test.
    pub fn with_redis_of(self, server: &RedisServer) -> Self {
        Self { redis: Some((server.url(), new_prefix())), ..self }
    }

    /// The same with the Redis at that address.
    pub fn with_redis_at(self, url: String) -> Self {
        Self { redis: Some((url, new_prefix())), ..self }
    }

    /// A new database with the present schema, behind a pooler in transaction mode.
    pub async fn behind_pooler() -> Self {
        Self::of(new_database().await, true)
    }

    fn of(database: tokio_postgres::Config, pooled: bool) -> Self {
        let endpoint = if pooled {
            let connection = pooler::connection_to(database.get_dbname().expect("a name"));
            Endpoint { pooled, ..connection.into() }
        } else {
            database.clone().into()
        };
        Self::on(database, endpoint)
    }

    /// Advances the clock of all instances.
    pub fn advance(&self, seconds: f64) {
        self.clock.advance(seconds);
    }

    /// An instance on this database.
    pub async fn start(&self) -> TestApp {
        self.start_with(&[]).await
    }

    /// An instance with its own settings.
    pub async fn start_with(&self, options: Options<'_>) -> TestApp {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Box::pin(TestApp::start(self.clone(), options, clock)).await
    }

    /// An instance with its own settings and clock.
    pub async fn start_with_clock(&self, options: Options<'_>, clock: Arc<dyn Clock>) -> TestApp {
        Box::pin(TestApp::start(self.clone(), options, clock)).await
    }

    /// Closes all connections to the database and refuses new ones.
    pub async fn cut_database(&self) {
        let name = self.database.get_dbname().expect("a name");
        administer(&format!("alter database {name} allow_connections false")).await;
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity where datname";
        administer(&format!("{sql} = '{name}'")).await;
    }

    /// Undoes [`World::cut_database`].
    pub async fn mend_database(&self) {
        let name = self.database.get_dbname().expect("a name");
        administer(&format!("alter database {name} allow_connections true")).await;
    }

    /// A connection for the test.
    pub async fn connect(&self) -> tokio_postgres::Client {
        let (client, connection) =
            self.database.connect(tokio_postgres::NoTls).await.expect("connected");
        tokio::spawn(connection);
        client
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_micros(START_MICROS)))
}

/// A running server.
pub struct TestApp {
    pub world: World,
    pub server: Arc<Server>,
    pub client: Client,
    handle: ServerHandle,
    pulse: JoinHandle<()>,
}

impl TestApp {
    /// A server with its own database.
    pub async fn new() -> Self {
        World::new().await.start().await
    }

    async fn start(world: World, options: Options<'_>, clock: Arc<dyn Clock>) -> Self {
        let mut source = Source::from([
            ("ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned()),
            ("JWT_SECRET".to_owned(), JWT_SECRET.to_owned()),
            ("HTTP_WORKERS".to_owned(), "1".to_owned()),
            ("DATABASE_POOL_SIZE".to_owned(), "4".to_owned()),
            ("PASSWORD_HASH_CONCURRENCY".to_owned(), "2".to_owned()),
            // Tests send more than a player does; tests of the limits set their own.
            ("RATE_LIMIT_PER_SECOND".to_owned(), "50000".to_owned()),
            ("RATE_LIMIT_BURST".to_owned(), "100000".to_owned()),
            ("RATE_LIMIT_AUTH_PER_MINUTE".to_owned(), "100000".to_owned()),
            ("RATE_LIMIT_LOGIN_PER_USERNAME_PER_MINUTE".to_owned(), "100000".to_owned()),
        ]);
        if let Some((url, prefix)) = &world.redis {
            source.insert("REDIS_URL".to_owned(), url.clone());
            source.insert("REDIS_KEY_PREFIX".to_owned(), prefix.clone());
        }
        for (name, value) in options {
            source.insert((*name).to_owned(), (*value).to_owned());
        }
        let config = Config::load(&source).expect("a configuration");
        let server = Server::build(Settings {
            secret: config.auth.jwt_secret.clone().unwrap_or_else(|| Secret::new(JWT_SECRET)),
            config,
            endpoint: world.endpoint.clone(),
            clock,
            alone: false,
        });
        let server = Arc::new(server.expect("built"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let http = server.listen(listener).expect("listening");
        let handle = http.handle();
        tokio::spawn(http);
        // As the program does: a connection that is just being closed may still count for a role that may have one.
        eventually("the database is ready", async || match server.prepare().await {
            Ok(()) => Some(()),
            Err(error) if error.is_passing() => None,
            Err(error) => panic!("not prepared: {error}"),
        })
        .await;
        let beating = Arc::clone(&server);
        let pulse = tokio::spawn(async move {
            tokio::join!(
                beating.run_poller(),
                beating.run_rankings(),
                beating.watch_writes(),
                beating.run_streams(),
            );
        });
        Self { world, server, client: Client::new(address), handle, pulse }
    }

    /// Advances the clock.
    pub fn advance(&self, seconds: f64) {
        self.world.advance(seconds);
    }

    /// The value of a metric, whose labels are written as in the text; 0 if there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.server.metrics.render().expect("rendered"));
        let text = text.expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// A key in Redis, of the database in its present epoch.
    pub fn redis_key(&self, name: &str) -> String {
        let identity = self.server.store.identity().current().expect("the database was asked");
        self.server.redis.as_ref().expect("a Redis").key(identity, name)
    }

    /// How often a player was read from Postgres for a read.
    pub fn loads(&self) -> f64 {
        self.metric("cache_reads_total{entry=\"player\",source=\"postgres\"}")
    }

    /// Runs every job that is due, in this task.
    pub async fn run_jobs(&self) -> usize {
        self.server.jobs.run_due().await.expect("the queue answers")
    }

    /// Returns when all entries of the outbox have their places in streams. The server's own task may take some of them,
    /// which then are not committed yet when others are.
    pub async fn empty_outbox(&self) {
        let database = self.world.connect().await;
        eventually("the outbox is empty", async || {
            self.server.notifications.empty_outbox().await.expect("emptied");
            let row =
                database.query_one("select count(*) from outbox", &[]).await.expect("counted");
            (row.get::<_, i64>(0) == 0).then_some(())
        })
        .await;
    }

    /// Ends the tasks that run beside requests, such as the poller.
    pub fn stop_loops(&self) {
        self.pulse.abort();
    }

    /// Stops the server in order.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        self.server.jobs.drain().await;
        self.server.game.drain().await;
        self.pulse.abort();
        self.server.close().await;
    }
}
