//! Opening connections: to one server or a cluster, with or without TLS, as one type.

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

/// A connection to one server or a cluster. Clones share it: their commands are pipelined.
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
    /// The address as configured, and the same without the username if it has one beside a password: some providers
    /// give out addresses with a name for servers that only know passwords.
    ways: Vec<Way>,
    /// The way that worked last.
    last: AtomicUsize,
}

/// The servers and the credentials.
struct Way {
    clients: Vec<Client>,
    cluster: ClusterClient,
}

/// Why nothing was opened.
struct Failure {
    away: Unavailable,
    /// The server does not know the user or the password.
    is_of_login: bool,
}

impl Failure {
    fn late() -> Self {
        let away = Unavailable(format!("no answer within {} s", OPEN_LIMIT.as_secs()));
        Self { away, is_of_login: false }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let is_of_login = error.kind() == ErrorKind::AuthenticationFailed;
        Self { away: Unavailable(describe(&error)), is_of_login }
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
        let ways = || {
            let clients = urls.iter().map(open).collect::<RedisResult<Vec<_>>>()?;
            let nameless = clients.iter().map(without_name).collect::<RedisResult<Vec<_>>>()?;
            let nameless: Vec<_> = nameless.into_iter().flatten().collect();
            let mut ways = vec![clients];
            ways.extend((!nameless.is_empty()).then_some(nameless));
            ways.into_iter().map(|clients| Way::new(clients, certificates.as_ref())).collect()
        };
        let ways: RedisResult<Vec<Way>> = ways();
        let ways = ways.map_err(|error| Unavailable(format!("REDIS_URL: {}", describe(&error))))?;
        Ok(Self { ways, last: AtomicUsize::new(0) })
    }

    /// A connection to the first node that answers, or to the cluster to which it belongs.
    pub(super) async fn open(&self) -> Result<Connection, Unavailable> {
        self.by_some_way(|way| Box::pin(way.open())).await
    }

    /// A connection for subscriptions to the first node that answers.
    pub(super) async fn listener(&self) -> Result<PubSub, Unavailable> {
        self.by_some_way(|way| Box::pin(way.listener())).await
    }

    /// Opens a connection by the way that worked last. If its credentials are rejected, tries another way.
    async fn by_some_way<T>(
        &self,
        open: impl for<'a> Fn(&'a Way) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, Unavailable> {
        let (count, last) = (self.ways.len(), self.last.load(Ordering::Relaxed));
        let mut first = None;
        for index in (0..count).map(|step| (last + step) % count) {
            match open(&self.ways[index]).await {
                Ok(opened) => {
                    self.last.store(index, Ordering::Relaxed);
                    return Ok(opened);
                }
                Err(failure) => {
                    let goes_on = failure.is_of_login;
                    first.get_or_insert(failure.away);
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Err(first.unwrap_or_else(no_address))
    }
}

impl Way {
    fn new(clients: Vec<Client>, certificates: Option<&TlsCertificates>) -> RedisResult<Self> {
        // A cluster has only database 0. The cluster reports the nodes' own addresses.
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
        let opened = self.of_some_node(|client| {
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
                Err(_) => Err(Failure::late()),
            },
        }
    }

    async fn listener(&self) -> Result<PubSub, Failure> {
        self.of_some_node(|client| Box::pin(client.get_async_pubsub())).await
    }

    /// Opens a connection to the first node that answers, or returns the error of the last one.
    async fn of_some_node<T>(
        &self,
        open: impl for<'a> Fn(&'a Client) -> BoxFuture<'a, RedisResult<T>>,
    ) -> Result<T, Failure> {
        let mut last = Failure { away: no_address(), is_of_login: false };
        for client in &self.clients {
            match timeout(OPEN_LIMIT, open(client)).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(error)) => last = error.into(),
                Err(_) => last = Failure::late(),
            }
        }
        Err(last)
    }
}

fn no_address() -> Unavailable {
    Unavailable("no address".into())
}

/// The same client with the password only; `None` if it has no username. A password without a username belongs to the
/// default user.
fn without_name(client: &Client) -> RedisResult<Option<Client>> {
    let info = client.get_connection_info();
    let settings = info.redis_settings();
    let (Some(name), Some(password)) = (settings.username(), settings.password()) else {
        return Ok(None);
    };
    if name.is_empty() || name == "default" {
        return Ok(None);
    }
    let nameless = RedisConnectionInfo::default()
        .set_password(password)
        .set_db(settings.db())
        .set_protocol(settings.protocol());
    Client::open(info.clone().set_redis_settings(nameless)).map(Some)
}

/// Whether a server belongs to a cluster. A user without the right to ask in one way may have the right to ask in
/// another.
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
        // Most servers do not belong to a cluster. One that does says so at the first command with a key.
        Err(error) if rights::is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
