//! The network between a server and its database or Redis, which can be slow, closed or silent.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_postgres::config::Host;

use super::redis::RedisServer;

/// The state of the connections.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Until when the database sleeps; clients that connect earlier wait.
    wakes_at: Instant,
    /// How often all were closed.
    cuts: u32,
    /// How often all became silent without being closed.
    silences: u32,
    /// By how much each piece of an answer is delayed. Requests are not delayed.
    answer_delay: Duration,
}

/// What connections lead to.
#[derive(Clone, Debug)]
enum Target {
    Socket(PathBuf),
    Port(u16),
}

/// A proxy on loopback to a database or a Redis.
pub struct Proxy {
    address: SocketAddr,
    /// What new connections lead to.
    target: Arc<Mutex<Target>>,
    weather: Arc<watch::Sender<Weather>>,
}

impl Proxy {
    /// A proxy to the database on that unix socket.
    pub async fn to(database: &tokio_postgres::Config) -> Self {
        Self::lead(socket_of(database)).await
    }

    /// A proxy to that Redis.
    pub async fn to_redis(server: &RedisServer) -> Self {
        Self::lead(Target::Port(server.port())).await
    }

    async fn lead(target: Target) -> Self {
        let target = Arc::new(Mutex::new(target));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let calm = Weather {
            wakes_at: Instant::now(),
            cuts: 0,
            silences: 0,
            answer_delay: Duration::ZERO,
        };
        let weather = Arc::new(watch::Sender::new(calm));
        let (subject, leads_to) = (Arc::clone(&weather), Arc::clone(&target));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target = leads_to.lock().expect("not poisoned").clone();
                tokio::spawn(carry(client, target, subject.subscribe()));
            }
        });
        Self { address, target, weather }
    }

    /// From now on leads to another database, like an address that moves in a failover; open connections are closed.
    pub fn lead_to(&self, database: &tokio_postgres::Config) {
        *self.target.lock().expect("not poisoned") = socket_of(database);
        self.cut();
    }

    /// How to connect to `database` through this proxy.
    pub fn way(&self, database: &tokio_postgres::Config) -> tokio_postgres::Config {
        let mut way = tokio_postgres::Config::new();
        way.host(self.address.ip().to_string())
            .port(self.address.port())
            .user(database.get_user().expect("a user"))
            .dbname(database.get_dbname().expect("a name"))
            .ssl_mode(tokio_postgres::config::SslMode::Disable);
        way
    }

    /// The address of Redis through this proxy.
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// From now on answers arrive that much later, in their order. Requests are carried out at once.
    pub fn delay_answers(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.answer_delay = delay);
    }

    /// The database is suspended: its connections close, and it takes that long to wake.
    pub fn fall_asleep(&self, wakes_in: Duration) {
        self.weather.send_modify(|weather| weather.wakes_at = Instant::now() + wakes_in);
        self.cut();
    }

    /// Closes every connection.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// All open connections become silent; new ones work.
    pub fn silence(&self) {
        self.weather.send_modify(|weather| weather.silences += 1);
    }
}

fn socket_of(database: &tokio_postgres::Config) -> Target {
    let [Host::Unix(folder)] = database.get_hosts() else { panic!("a unix socket") };
    Target::Socket(folder.join(format!(".s.PGSQL.{}", database.get_ports()[0])))
}

async fn carry(client: TcpStream, target: Target, weather: watch::Receiver<Weather>) {
    // If nobody listens, the client's connection is closed.
    match target {
        Target::Socket(path) => {
            let Ok(server) = UnixStream::connect(&path).await else { return };
            carry_to(client, server, weather).await;
        }
        Target::Port(port) => {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            client.set_nodelay(true).expect("set");
            server.set_nodelay(true).expect("set");
            carry_to(client, server, weather).await;
        }
    }
}

async fn carry_to(
    mut client: TcpStream,
    mut server: impl AsyncRead + AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
) {
    let began = *weather.borrow_and_update();
    {
        let delays = weather.clone();
        let travel = async {
            sleep_until(began.wakes_at).await;
            let (mut from_client, to_client) = split(&mut client);
            let (from_server, mut to_server) = split(&mut server);
            let questions = async {
                copy(&mut from_client, &mut to_server).await?;
                to_server.shutdown().await
            };
            tokio::try_join!(questions, carry_answers(from_server, to_client, delays)).ok();
        };
        let change = |it: &Weather| it.cuts > began.cuts || it.silences > began.silences;
        tokio::select! {
            () = travel => return,
            changed = weather.wait_for(change) => drop(changed),
        }
    }
    // After a cut both ends are closed here; silent ones stay open as long as the test runs.
    weather.wait_for(|it| it.cuts > began.cuts).await.ok();
}

/// Forwards the server's bytes, each piece as late as was set when it arrived here.
async fn carry_answers(
    mut server: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let (pieces, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        loop {
            let mut piece = vec![0; 16 * 1024];
            let length = server.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            piece.truncate(length);
            let delay = weather.borrow().answer_delay;
            // The other half has ended if nobody receives it.
            pieces.send((Instant::now() + delay, piece)).ok();
        }
    };
    let write = async move {
        while let Some((at, piece)) = due.recv().await {
            sleep_until(at).await;
            client.write_all(&piece).await?;
        }
        client.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}
