//! The network between a server and its database, which can be slow, cut or silent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_postgres::config::Host;

/// What happens to connections.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Until when the database sleeps; whoever comes earlier waits.
    wakes_at: Instant,
    /// How often all were closed.
    cuts: u32,
    /// How often all were left open, but carry nothing any more.
    silences: u32,
}

/// A way to a database through loopback.
pub struct Proxy {
    address: SocketAddr,
    /// The socket that new connections lead to.
    target: Arc<Mutex<PathBuf>>,
    weather: Arc<watch::Sender<Weather>>,
}

impl Proxy {
    /// A way to the database on that unix socket.
    pub async fn to(database: &tokio_postgres::Config) -> Self {
        let target = Arc::new(Mutex::new(socket_of(database)));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let calm = Weather { wakes_at: Instant::now(), cuts: 0, silences: 0 };
        let weather = Arc::new(watch::Sender::new(calm));
        let (subject, leads_to) = (Arc::clone(&weather), Arc::clone(&target));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let socket = leads_to.lock().expect("not poisoned").clone();
                tokio::spawn(carry(client, socket, subject.subscribe()));
            }
        });
        Self { address, target, weather }
    }

    /// Leads to another database from now on, as an address does that moves in a failover; what was open is closed.
    pub fn lead_to(&self, database: &tokio_postgres::Config) {
        *self.target.lock().expect("not poisoned") = socket_of(database);
        self.cut();
    }

    /// How to connect to `database` by this way.
    pub fn way(&self, database: &tokio_postgres::Config) -> tokio_postgres::Config {
        let mut way = tokio_postgres::Config::new();
        way.host(self.address.ip().to_string())
            .port(self.address.port())
            .user(database.get_user().expect("a user"))
            .dbname(database.get_dbname().expect("a name"))
            .ssl_mode(tokio_postgres::config::SslMode::Disable);
        way
    }

    /// The database falls asleep, dropping its connections, and takes that long to wake.
    pub fn fall_asleep(&self, wakes_in: Duration) {
        self.weather.send_modify(|weather| weather.wakes_at = Instant::now() + wakes_in);
        self.cut();
    }

    /// Closes every connection.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Has every connection carry nothing any more, without a word; new ones work.
    pub fn silence(&self) {
        self.weather.send_modify(|weather| weather.silences += 1);
    }
}

fn socket_of(database: &tokio_postgres::Config) -> PathBuf {
    let [Host::Unix(folder)] = database.get_hosts() else { panic!("a unix socket") };
    folder.join(format!(".s.PGSQL.{}", database.get_ports()[0]))
}

async fn carry(mut client: TcpStream, socket: PathBuf, mut weather: watch::Receiver<Weather>) {
    let began = *weather.borrow_and_update();
    // Where nobody listens the client is hung up on.
    let Ok(mut database) = UnixStream::connect(&socket).await else { return };
    {
        let travel = async {
            sleep_until(began.wakes_at).await;
            tokio::io::copy_bidirectional(&mut client, &mut database).await.ok();
        };
        let change = |it: &Weather| it.cuts > began.cuts || it.silences > began.silences;
        tokio::select! {
            () = travel => return,
            changed = weather.wait_for(change) => drop(changed),
        }
    }
    // Cut, both ends are closed here; silenced, they stay open for as long as the test goes on.
    weather.wait_for(|it| it.cuts > began.cuts).await.ok();
}
