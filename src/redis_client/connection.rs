//! Opening connections: one server or a cluster, with or without TLS, behind one type.

use std::fs;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, RedisFuture, RedisResult, TlsCertificates, Value,
};
use tokio::time::timeout;

use super::{Away, describe, span};
use crate::config::RedisConfig;

/// How long opening a connection may take, and the first command on it.
const OPEN_LIMIT: Duration = Duration::from_secs(2);

/// A connection to one server or to a cluster. Clones share it: commands of all of them travel together.
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
    clients: Vec<Client>,
    cluster: ClusterClient,
}

impl Opener {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, Away> {
        let ca = config.ca_file.as_ref().map(fs::read).transpose();
        let ca = ca.map_err(|error| Away(format!("REDIS_CA_FILE: {error}")))?;
        let certificates = || TlsCertificates { client_tls: None, root_cert: ca.clone() };
        let urls: Vec<&str> = config.url.reveal().split(',').map(str::trim).collect();
        let open = |url: &&str| match ca {
            Some(_) => Client::build_with_tls(*url, certificates()),
            None => Client::open(*url),
        };
        let unusable = |error: &redis::RedisError| Away(format!("REDIS_URL: {}", describe(error)));
        let clients = urls.iter().map(open).collect::<RedisResult<Vec<_>>>();
        let clients = clients.map_err(|error| unusable(&error))?;
        // A cluster has only database 0; the nodes' own addresses come from the cluster.
        let nodes = clients.iter().map(|client| client.get_connection_info().clone());
        let nodes = nodes.map(|node| {
            let settings = node.redis_settings().clone().set_db(0);
            node.set_redis_settings(settings)
        });
        let mut cluster = ClusterClient::builder(nodes.collect::<Vec<_>>())
            .connection_timeout(OPEN_LIMIT)
            .response_timeout(OPEN_LIMIT)
            .retries(1);
        if ca.is_some() {
            cluster = cluster.certs(certificates());
        }
        let cluster = cluster.build().map_err(|error| unusable(&error))?;
        Ok(Self { clients, cluster })
    }

    /// A connection to the first node that answers, or to the cluster that it says it belongs to.
    pub(super) async fn open(&self) -> Result<Connection, Away> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(OPEN_LIMIT))
            .set_response_timeout(None);
        let mut last = Away("no address".into());
        for client in &self.clients {
            let opened = async {
                let mut connection =
                    client.get_multiplexed_async_connection_with_config(&settings).await?;
                let info: String =
                    redis::cmd("INFO").arg("cluster").query_async(&mut connection).await?;
                if info.contains("cluster_enabled:1") {
                    return self.cluster.get_async_connection().await.map(Connection::Cluster);
                }
                Ok(Connection::Single(connection))
            };
            match within(opened).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A connection to the first node that answers, for listening.
    pub(super) async fn listener(&self) -> Result<PubSub, Away> {
        let mut last = Away("no address".into());
        for client in &self.clients {
            match within(client.get_async_pubsub()).await {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn within<T>(opening: impl Future<Output = RedisResult<T>>) -> Result<T, Away> {
    match timeout(OPEN_LIMIT, opening).await {
        Ok(opened) => opened.map_err(|error| Away(describe(&error))),
        Err(_) => Err(Away(format!("no answer within {} s", OPEN_LIMIT.as_secs()))),
    }
}
