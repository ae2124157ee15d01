//! An embedded Postgres: a child process on a private unix socket that ends with the server.
//!
//! Start and recovery have no time limit; the server answers probes and handles signals meanwhile. The first signal
//! stops the database by a fast shutdown, a further one by an immediate shutdown.

mod binaries;
mod cluster;
mod orphans;
mod owner;
mod supervisor;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::sync::{oneshot, watch};

use supervisor::Order;

/// The database that the server uses in its own cluster.
const DATABASE: &str = "idlewatt";
const USER: &str = "idlewatt";
/// Only part of the socket's file name.
const PORT: u16 = 5432;
/// The longest path of a unix socket that all systems allow.
const MAX_SOCKET_PATH: usize = 103;

/// Why the database cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "PostgreSQL is not installed: neither PATH nor the usual folders have its `postgres` and `initdb`. \
         Install it (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; \
         macOS: brew install postgresql), name its folder in PG_BINDIR, or set DATABASE_URL"
    )]
    NotInstalled,
    #[error(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as"
    )]
    NoUser,
    #[error(
        "the folder {folder} bars the user {user} who runs PostgreSQL: allow passage (chmod o+x {folder}) or choose \
         another DATA_DIR"
    )]
    Barred { folder: String, user: String },
    #[error(
        "PostgreSQL's initdb needs a name for the user id {uid} that the server runs as, and /etc/passwd has none: add a \
         line to it, such as `idlewatt:x:{uid}:0::/:/sbin/nologin`, load libnss_wrapper.so (LD_PRELOAD), run the \
         server as a user that is there, or set DATABASE_URL"
    )]
    Nameless { uid: u32 },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{program} failed: {output}")]
    Failed { program: &'static str, output: String },
    /// The database was stopped before it was ready.
    #[error("the embedded database was stopped while it started")]
    Stopped,
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| Error::Io { what, source }
}

/// Where Postgres is installed and how it runs.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The folder of its programs. `None` searches for it.
    pub bin_dir: Option<PathBuf>,
    /// Folders to search, in the form of `PATH`.
    pub search_path: Option<OsString>,
    /// Further `-c` settings, such as `fsync=off`.
    pub extra: Vec<String>,
}

/// A database process and the thread that owns it. The thread restarts the process whenever it ends by itself.
///
/// Dropping it stops the process and blocks until the process has ended. [`Embedded::stop`] does the same without
/// blocking.
#[derive(Debug)]
pub struct Embedded {
    sockets: PathBuf,
    orders: watch::Sender<Order>,
    /// The result of the first start; `None` once it has been received.
    started: Option<oneshot::Receiver<Result<(), Error>>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Begins to start the database in `folder`, creates the cluster if it is missing, and returns at once.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the system refuses a thread.
    pub fn launch(folder: &Path, settings: Settings) -> Result<Self, Error> {
        let (orders, ordered) = watch::channel(Order::Run);
        let (first, started) = oneshot::channel();
        let data = folder.to_owned();
        let thread = thread::Builder::new()
            .name("embedded-postgres".into())
            .spawn(move || supervisor::run(data, settings, ordered, first))
            .map_err(io_error("starting a thread for the database"))?;
        Ok(Self {
            sockets: socket_folder(folder),
            orders,
            started: Some(started),
            thread: Some(thread),
        })
    }

    /// As [`Embedded::launch`], and returns when the database accepts connections.
    ///
    /// # Errors
    /// As [`Embedded::started`].
    pub async fn start(folder: &Path, settings: Settings) -> Result<Self, Error> {
        let mut embedded = Self::launch(folder, settings)?;
        embedded.started().await?;
        Ok(embedded)
    }

    /// Waits until the database accepts connections for the first time, however long its recovery takes. Cancel safe;
    /// can be called again.
    ///
    /// # Errors
    /// Returns why the database cannot start and how to fix it. It is not retried.
    pub async fn started(&mut self) -> Result<(), Error> {
        let Some(started) = &mut self.started else { return Ok(()) };
        let result = started.await.unwrap_or(Err(Error::Stopped));
        self.started = None;
        result
    }

    /// How to connect to its database after [`Embedded::ensure_database`].
    pub fn connection(&self) -> tokio_postgres::Config {
        self.connection_to(DATABASE)
    }

    /// How to connect to one of its databases. `postgres` always exists.
    pub fn connection_to(&self, database: &str) -> tokio_postgres::Config {
        connection_in(&self.sockets, database)
    }

    /// Creates the server's database if it is missing.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn ensure_database(&self) -> Result<(), super::Error> {
        let (client, connection) =
            self.connection_to("postgres").connect(tokio_postgres::NoTls).await?;
        let driver = tokio::spawn(connection);
        let exists = include_str!("../../../sql/queries/embedded/database_exists.sql");
        if client.query_opt(exists, &[&DATABASE]).await?.is_none() {
            let create = include_str!("../../../sql/queries/embedded/create_database.sql");
            client.batch_execute(create).await?;
        }
        drop(client);
        driver.abort();
        Ok(())
    }

    /// Stops the process by a fast shutdown and waits for its end: nothing needs recovery at the next start. If the future is
    /// cancelled, the shutdown continues.
    pub async fn stop(&mut self) {
        self.order(Order::Stop);
        // The thread drops its receiver after the process has ended.
        self.orders.closed().await;
    }

    /// As [`Embedded::stop`], with an immediate shutdown: the next start recovers from the write-ahead log.
    pub async fn stop_now(&mut self) {
        self.order(Order::StopNow);
        self.orders.closed().await;
    }

    /// Raises the order. A weaker order than the present one changes nothing.
    fn order(&self, order: Order) {
        self.orders.send_if_modified(|given| {
            let is_stricter = order > *given;
            *given = order.max(*given);
            is_stricter
        });
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            // An error is a panic of the thread, which was logged.
            thread.join().ok();
        }
    }
}

/// How to connect to the server's database in `folder`; `None` if no server runs it now.
pub async fn running(folder: &Path) -> Option<tokio_postgres::Config> {
    let connection = connection_in(&socket_folder(&folder.canonicalize().ok()?), DATABASE);
    let (client, driver) = connection.connect(tokio_postgres::NoTls).await.ok()?;
    let driver = tokio::spawn(driver);
    drop(client);
    driver.await.ok()?.ok()?;
    Some(connection)
}

fn connection_in(sockets: &Path, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(sockets)
        .port(PORT)
        .user(USER)
        .dbname(database)
        .application_name("idlewatt")
        .ssl_mode(tokio_postgres::config::SslMode::Disable);
    config
}

/// The folder of the sockets: beside the data, unless the path is too long for a socket.
fn socket_folder(folder: &Path) -> PathBuf {
    let beside = folder.join("run");
    let file_name = format!("/.s.PGSQL.{PORT}");
    if beside.as_os_str().len() + file_name.len() <= MAX_SOCKET_PATH {
        return beside;
    }
    let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    let name = URL_SAFE_NO_PAD.encode(&digest[..12]);
    std::env::temp_dir().join(format!("idlewatt-{name}"))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(io_error(format!("setting the permissions of {}", path.display())))
}
