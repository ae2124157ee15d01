//! An embedded Postgres: a child process of the server that listens on a private unix socket.
//!
//! Start and recovery have no time limit. While they run, the server answers probes and handles signals. The first
//! signal stops the database by a fast shutdown, a second one by an immediate shutdown.

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

/// The name of the server's database in the embedded cluster.
const DATABASE: &str = "idlewatt";
const USER: &str = "idlewatt";
/// Postgres does not listen on this port; the number is only part of the socket's file name.
const PORT: u16 = 5432;
/// The longest path of a unix socket that all supported systems allow, in bytes.
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
        "the folder {folder} bars the user {user} who runs PostgreSQL: allow access (chmod o+x {folder}) or choose \
         another DATA_DIR"
    )]
    AccessDenied { folder: String, user: String },
    #[error(
        "PostgreSQL's initdb needs a user name, but /etc/passwd has no entry for the user id {uid} of the server: add \
         a line such as `idlewatt:x:{uid}:0::/:/sbin/nologin`, load libnss_wrapper.so (LD_PRELOAD), run the server as \
         a user in /etc/passwd, or set DATABASE_URL"
    )]
    NoUserName { uid: u32 },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{program} failed: {output}")]
    Failed { program: &'static str, output: String },
    /// The database was stopped before it was ready.
    #[error("the embedded database was stopped while it was starting")]
    Stopped,
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| Error::Io { what, source }
}

/// Where Postgres is installed and how it runs.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The folder of the programs. If it is `None`, the programs are searched for.
    pub bin_dir: Option<PathBuf>,
    /// The folders to search, in the format of `PATH`.
    pub search_path: Option<OsString>,
    /// Additional `-c` settings, such as `fsync=off`.
    pub extra: Vec<String>,
}

/// A database process and the thread that supervises it. The thread restarts the process if it ends unexpectedly.
///
/// Dropping this value stops the process and blocks until the process has ended. [`Embedded::stop`] does the same
/// without blocking.
#[derive(Debug)]
pub struct Embedded {
    /// The folder of the unix socket.
    sockets: PathBuf,
    orders: watch::Sender<Order>,
    /// The result of the first start; `None` once it has been received.
    started: Option<oneshot::Receiver<Result<(), Error>>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts the database in `folder` in the background, and creates the cluster if it is missing. Returns at once.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the thread cannot be created.
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

    /// As [`Embedded::launch`], but returns only when the database accepts connections.
    ///
    /// # Errors
    /// As [`Embedded::started`].
    pub async fn start(folder: &Path, settings: Settings) -> Result<Self, Error> {
        let mut embedded = Self::launch(folder, settings)?;
        embedded.started().await?;
        Ok(embedded)
    }

    /// Waits without a time limit until the database accepts connections for the first time. Cancel safe, and can be
    /// called again.
    ///
    /// # Errors
    /// Returns why the database cannot start and how to fix it. The start is not retried.
    pub async fn started(&mut self) -> Result<(), Error> {
        let Some(started) = &mut self.started else { return Ok(()) };
        let result = started.await.unwrap_or(Err(Error::Stopped));
        self.started = None;
        result
    }

    /// How to connect to the server's database. It exists after [`Embedded::ensure_database`].
    pub fn connection(&self) -> tokio_postgres::Config {
        self.connection_to(DATABASE)
    }

    /// How to connect to a database of the cluster. The database `postgres` always exists.
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

    /// Stops the process by a fast shutdown and waits until it has ended. The next start needs no recovery. If the
    /// future is cancelled, the shutdown continues.
    pub async fn stop(&mut self) {
        self.order(Order::Stop);
        // The thread drops its receiver after the process has ended.
        self.orders.closed().await;
    }

    /// As [`Embedded::stop`], but with an immediate shutdown: the next start recovers from the write-ahead log.
    pub async fn stop_now(&mut self) {
        self.order(Order::StopNow);
        self.orders.closed().await;
    }

    /// Sends an order. Does nothing if the current order is the same or stricter.
    fn order(&self, order: Order) {
        self.orders.send_if_modified(|current| {
            let is_stricter = order > *current;
            *current = order.max(*current);
            is_stricter
        });
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            // An error means that the thread panicked, which has been logged.
            thread.join().ok();
        }
    }
}

/// How to connect to the embedded database in `folder`; `None` if it is not running.
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

/// The folder of the unix socket. It is in `folder`, or in the system's folder for temporary files if the path of the
/// socket would be too long.
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
