//! Opens connections to a single server or to a cluster, with or without TLS. Both have the same type.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisConnectionInfo, RedisError,
    RedisFuture, RedisResult, TlsCertificates, Value,
};
use tokio::time::timeout;

use super::{Unavailable, describe, rights, span};
use crate::config::RedisConfig;

/// Time-out for opening a connection and for its first command.
const OPEN_LIMIT: Duration = Duration::from_secs(2);

/// A connection to one server or a cluster. Clones share the connection, and their commands are pipelined.
#[derive(Clone)]
pub enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let answer = match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        };
        span::traced(answer, || span::command_name(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let answer = match self {
            Self::Single(connection) => connection.req_packed_commands(commands, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(commands, offset, count),
        };
        span::traced(answer, || span::pipeline_name(commands))
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Opens connections.
pub(super) struct Opener {
    /// The configured address and, if it has a username and a password, the same address without the username: some
    /// providers put a username into the address although their servers only check a password.
    candidates: Vec<Candidate>,
    /// The index of the candidate that worked last.
    last: AtomicUsize,
}

/// Servers with one form of the credentials.
struct Candidate {
    clients: Vec<Client>,
    cluster: ClusterClient,
}

/// Why no connection could be opened.
struct Failure {
    reason: Unavailable,
    /// Whether the server rejected the username or the password.
    is_authentication: bool,
}

impl Failure {
    fn timed_out() -> Self {
        let reason = Unavailable(format!("no answer within {} s", OPEN_LIMIT.as_secs()));
        Self { reason, is_authentication: false }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let is_authentication = error.kind() == ErrorKind::AuthenticationFailed;
        Self { reason: Unavailable(describe(&error)), is_authentication }
    }
}

impl Opener {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, Unavailable> {
        let ca = config.ca_file.as_ref().map(fs::read).transpose();
        let ca = ca.map_err(|error| Unavailable(format!("REDIS_CA_FILE: {error}")))?;
        let certificates = ca.map(|ca| TlsCertificates { client_tls: None, root_cert: Some(ca) });
        let urls: Vec<&str> = config.url.reveal().split(',').map(str::trim).collect();
        let open = |url: &&str| match &certificates {
            Some(certificates) => Client::build_with_tls(*url, certificates.clone()),
            None => Client::open(*url),
        };
        let candidates = || {
            let clients = urls.iter().map(open).collect::<RedisResult<Vec<_>>>()?;
            let without_name =
                clients.iter().map(without_username).collect::<RedisResult<Vec<_>>>()?;
            let without_name: Vec<_> = without_name.into_iter().flatten().collect();
            let mut all = vec![clients];
            all.extend((!without_name.is_empty()).then_some(without_name));
            all.into_iter().map(|it| Candidate::new(it, certificates.as_ref())).collect()
        };
        let candidates: RedisResult<Vec<Candidate>> = candidates();
        let candidates =
            candidates.map_err(|error| Unavailable(format!("REDIS_URL: {}", describe(&error))))?;
        Ok(Self { candidates, last: AtomicUsize::new(0) })
    }

    /// A connection to the first node that answers, or to the cluster to which it belongs.
    pub(super) async fn open(&self) -> Result<Connection, Unavailable> {
        self.try_candidates(|it| Box::pin(it.open())).await
    }

    /// A connection for subscriptions to the first node that answers.
    pub(super) async fn listener(&self) -> Result<PubSub, Unavailable> {
        self.try_candidates(|it| Box::pin(it.listener())).await
    }

    /// Opens a connection with the candidate that worked last. If its credentials are rejected, tries the others.
    async fn try_candidates<T>(
        &self,
        open: impl for<'a> Fn(&'a Candidate) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, Unavailable> {
        let (count, last) = (self.candidates.len(), self.last.load(Ordering::Relaxed));
        let mut first = None;
        for index in (0..count).map(|step| (last + step) % count) {
            match open(&self.candidates[index]).await {
                Ok(opened) => {
                    self.last.store(index, Ordering::Relaxed);
                    return Ok(opened);
                }
                Err(failure) => {
                    let is_authentication = failure.is_authentication;
                    first.get_or_insert(failure.reason);
                    if !is_authentication {
                        break;
                    }
                }
            }
        }
        Err(first.unwrap_or_else(no_address))
    }
}

impl Candidate {
    fn new(clients: Vec<Client>, certificates: Option<&TlsCertificates>) -> RedisResult<Self> {
        // A cluster has only database 0.
        let nodes = clients.iter().map(|client| client.get_connection_info().clone());
        let nodes = nodes.map(|node| {
            let settings = node.redis_settings().clone().set_db(0);
            node.set_redis_settings(settings)
        });
        let mut cluster = ClusterClient::builder(nodes.collect::<Vec<_>>())
            .connection_timeout(OPEN_LIMIT)
            .response_timeout(OPEN_LIMIT)
            .retries(1);
        if let Some(certificates) = certificates {
            cluster = cluster.certs(certificates.clone());
        }
        Ok(Self { clients, cluster: cluster.build()? })
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(OPEN_LIMIT))
            .set_response_timeout(None);
        let opened = self.try_nodes(|client| {
            let settings = settings.clone();
            Box::pin(async move {
                let mut connection =
                    client.get_multiplexed_async_connection_with_config(&settings).await?;
                let is_of_cluster = is_of_cluster(&mut connection).await?;
                Ok((!is_of_cluster).then_some(connection))
            })
        });
        match opened.await? {
            Some(connection) => Ok(Connection::Single(connection)),
            None => match timeout(OPEN_LIMIT, self.cluster.get_async_connection()).await {
                Ok(opened) => Ok(Connection::Cluster(opened?)),
                Err(_) => Err(Failure::timed_out()),
            },
        }
    }

    async fn listener(&self) -> Result<PubSub, Failure> {
        self.try_nodes(|client| Box::pin(client.get_async_pubsub())).await
    }

    /// Opens a connection to the first node that answers, or returns the error of the last one.
    async fn try_nodes<T>(
        &self,
        open: impl for<'a> Fn(&'a Client) -> BoxFuture<'a, RedisResult<T>>,
    ) -> Result<T, Failure> {
        let mut last = Failure { reason: no_address(), is_authentication: false };
        for client in &self.clients {
            match timeout(OPEN_LIMIT, open(client)).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(error)) => last = error.into(),
                Err(_) => last = Failure::timed_out(),
            }
        }
        Err(last)
    }
}

fn no_address() -> Unavailable {
    Unavailable("REDIS_URL contains no address".into())
}

/// The same client without the username; `None` if it has no username or no password. Redis takes a password without a
/// username for that of the default user.
fn without_username(client: &Client) -> RedisResult<Option<Client>> {
    let info = client.get_connection_info();
    let settings = info.redis_settings();
    let (Some(name), Some(password)) = (settings.username(), settings.password()) else {
        return Ok(None);
    };
    if name.is_empty() || name == "default" {
        return Ok(None);
    }
    let password_only = RedisConnectionInfo::default()
        .set_password(password)
        .set_db(settings.db())
        .set_protocol(settings.protocol());
    Client::open(info.clone().set_redis_settings(password_only)).map(Some)
}

/// Whether a server belongs to a cluster. Tries `INFO` and then `HELLO`, because the user may have the right to only
/// one of them.
async fn is_of_cluster(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let info = redis::cmd("INFO").arg("cluster").query_async::<String>(connection).await;
    match info {
        Ok(info) => return Ok(info.contains("cluster_enabled:1")),
        Err(error) if rights::is_missing(&error) => {}
        Err(error) => return Err(error),
    }
    match redis::cmd("HELLO").query_async::<Value>(connection).await {
        Ok(hello) => Ok(hello.as_map_iter().is_some_and(|mut properties| {
            let is = |value: &Value, text: &str| match value {
                Value::BulkString(bytes) => bytes == text.as_bytes(),
                Value::SimpleString(other) => other == text,
                _ => false,
            };
            properties.any(|(name, value)| is(name, "mode") && is(value, "cluster"))
        })),
        // Assumes a single server, which is usual. A node of a cluster would answer commands with keys by redirections.
        Err(error) if rights::is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
