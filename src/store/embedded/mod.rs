//! A Postgres of our own: a child process on a private unix socket that lives no longer than the server.

mod binaries;
mod owner;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sha2::{Digest, Sha256};

use owner::Owner;

/// The database that the server uses in its own cluster.
const DATABASE: &str = "idlewatt";
const USER: &str = "idlewatt";
/// It only names the socket's file.
const PORT: u16 = 5432;
/// The longest path of a unix socket that every system takes.
const MAX_SOCKET_PATH: usize = 103;
const POLL: Duration = Duration::from_millis(5);
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// A log beyond this is begun anew at the next start.
const MAX_LOG_BYTES: u64 = 16 << 20;

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
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{program} failed: {output}")]
    Failed { program: &'static str, output: String },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| Error::Io { what, source }
}

/// Where Postgres is, and how it runs.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The folder of its programs; searched for where absent.
    pub bin_dir: Option<PathBuf>,
    /// Folders to search, in the form of `PATH`.
    pub search_path: Option<OsString>,
    /// Further `-c` settings, such as `fsync=off`.
    pub extra: Vec<String>,
}

/// The running child. Dropped, it is stopped.
#[derive(Debug)]
pub struct Embedded {
    child: Child,
    sockets: PathBuf,
}

impl Embedded {
    /// Starts the database in `folder`, making the cluster at the first start, and returns when it takes connections.
    ///
    /// Call it on a thread that lives as long as the server: on Linux the child is told to stop when that thread ends,
    /// which is what stops it when the server is killed.
    ///
    /// # Errors
    /// What is missing or in the way, in words that say how to mend it.
    pub fn start(folder: &Path, settings: &Settings) -> Result<Self, Error> {
        let binaries = binaries::find(settings).ok_or(Error::NotInstalled)?;
        let owner = Owner::choose()?;
        owner.check_passage(folder)?;
        let sockets = socket_folder(folder);
        owner.make_private(&sockets)?;
        let cluster = folder.join("postgres");
        if !cluster.exists() {
            make_cluster(&binaries, &owner, folder, &cluster)?;
        }
        await_predecessor(&cluster)?;
        let log = open_log(&folder.join("postgres.log"))?;
        let child = spawn(&binaries, &owner, &cluster, &sockets, settings, log)?;
        let mut embedded = Self { child, sockets };
        embedded.await_ready(&cluster, &folder.join("postgres.log"))?;
        Ok(embedded)
    }

    /// How to connect to its database, once [`Embedded::connection_to`] `postgres` has made it.
    pub fn connection(&self) -> tokio_postgres::Config {
        self.connection_to(DATABASE)
    }

    /// How to connect to one of its databases; `postgres` is always there.
    pub fn connection_to(&self, database: &str) -> tokio_postgres::Config {
        connection_in(&self.sockets, database)
    }

    /// Makes the server's database where it is missing.
    ///
    /// # Errors
    /// As every statement's.
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

    /// Whether the child runs no more.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it: connections are cut, the log is flushed, nothing needs recovery at the next start.
    pub fn stop(&mut self) {
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else { return };
        if matches!(self.child.try_wait(), Ok(None)) && kill_process(pid, Signal::INT).is_ok() {
            let deadline = Instant::now() + STOP_LIMIT;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(POLL);
            }
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            tracing::warn!("the embedded database did not stop in time and is killed");
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }

    fn await_ready(&mut self, cluster: &Path, log: &Path) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        let pid = self.child.id().to_string();
        loop {
            let ended = self.child.try_wait().map_err(io_error("waiting for postgres"))?;
            if ended.is_some() || Instant::now() > deadline {
                return Err(Error::Failed { program: "postgres", output: last_lines(log) });
            }
            // The first line is the process, the eighth its state; an older file is a dead predecessor's.
            let status = fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
            let mut lines = status.lines();
            if lines.next() == Some(&pid) && lines.nth(6).map(str::trim) == Some("ready") {
                return Ok(());
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where the sockets go: beside the data, unless the path would be too long for a socket.
/// How to connect to the server's database in `folder` where a server runs it at present.
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

/// Runs `initdb` aside and moves the result into place, so that half a cluster is never taken for one.
fn make_cluster(
    binaries: &binaries::Binaries,
    owner: &Owner,
    folder: &Path,
    cluster: &Path,
) -> Result<(), Error> {
    let draft = folder.join("postgres.new");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(io_error(format!("removing {}", draft.display())))?;
    }
    owner.make_private(&draft)?;
    let mut command = Command::new(&binaries.initdb);
    command
        .arg("--pgdata")
        .arg(&draft)
        // The socket's folder lets nobody else in, so whoever reaches it may connect.
        .args(["--auth=trust", "--username", USER, "--encoding=UTF8", "--locale=C"])
        .args(["--data-checksums", "--no-instructions"])
        .current_dir("/");
    owner.run_as(&mut command);
    let output = command.output().map_err(io_error("running initdb"))?;
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Failed { program: "initdb", output });
    }
    fs::rename(&draft, cluster).map_err(io_error(format!("making {}", cluster.display())))
}

/// Waits for a database that a killed server left behind; where nothing told it to stop, tells it.
fn await_predecessor(cluster: &Path) -> Result<(), Error> {
    let file = cluster.join("postmaster.pid");
    let Some(pid) = fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.lines().next()?.trim().parse().ok())
        .and_then(Pid::from_raw)
    else {
        return Ok(());
    };
    let started = Instant::now();
    let mut told = false;
    // The file goes when the predecessor ends in order; a crashed one leaves it and is gone itself.
    while file.exists() && test_kill_process(pid).is_ok() && is_of_cluster(pid, cluster) {
        if started.elapsed() > STOP_LIMIT {
            let output =
                format!("process {} still runs in {}", pid.as_raw_nonzero(), cluster.display());
            return Err(Error::Failed { program: "postgres", output });
        }
        if !told && started.elapsed() > Duration::from_secs(1) {
            told = kill_process(pid, Signal::INT).is_ok();
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Whether a process is the Postgres of this cluster: a process id that has been given to another since must be neither
/// waited for nor stopped.
fn is_of_cluster(pid: Pid, cluster: &Path) -> bool {
    let pid = pid.as_raw_nonzero();
    // A postmaster works in its data folder.
    if let Ok(folder) = fs::read_link(format!("/proc/{pid}/cwd")) {
        return folder == cluster;
    }
    let shown = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    shown.is_ok_and(|shown| {
        String::from_utf8_lossy(&shown.stdout).contains(&*cluster.to_string_lossy())
    })
}

fn open_log(path: &Path) -> Result<File, Error> {
    let large = fs::metadata(path).is_ok_and(|it| it.len() > MAX_LOG_BYTES);
    OpenOptions::new()
        .create(true)
        .write(true)
        .append(!large)
        .truncate(large)
        .open(path)
        .map_err(io_error(format!("opening {}", path.display())))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

fn spawn(
    binaries: &binaries::Binaries,
    owner: &Owner,
    cluster: &Path,
    sockets: &Path,
    settings: &Settings,
    log: File,
) -> Result<Child, Error> {
    let mut command = Command::new(&binaries.postgres);
    let mut socket_setting = OsString::from("unix_socket_directories=");
    socket_setting.push(sockets);
    command.arg("-D").arg(cluster).arg("-c").arg(socket_setting);
    let port = format!("port={PORT}");
    for setting in [
        port.as_str(),
        "listen_addresses=",
        "unix_socket_permissions=0700",
        "max_connections=100",
        "shared_buffers=128MB",
        "max_wal_size=2GB",
        "log_destination=stderr",
        "logging_collector=off",
        "log_timezone=UTC",
        "timezone=UTC",
    ]
    .into_iter()
    .chain(settings.extra.iter().map(String::as_str))
    {
        command.arg("-c").arg(setting);
    }
    let errors = log.try_clone().map_err(io_error("opening the database's log"))?;
    command.stdin(Stdio::null()).stdout(log).stderr(errors).current_dir("/");
    owner.run_as(&mut command);
    // A group of its own: Ctrl-C in the terminal is for the server, which then stops the database last.
    command.process_group(0);
    end_with_this_thread(&mut command);
    command.spawn().map_err(io_error("starting postgres"))
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe call sets what a child does between fork and exec")]
fn end_with_this_thread(command: &mut Command) {
    use rustix::process::{getppid, set_parent_process_death_signal};
    let server = Pid::from_raw(std::process::id().cast_signed());
    // SAFETY: the closure only makes two system calls, which are safe after fork.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::INT))?;
            // The server may have died before the line above.
            if getppid() == server { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
}

/// Elsewhere the next start finds the orphan by its `postmaster.pid` and stops it.
#[cfg(not(target_os = "linux"))]
fn end_with_this_thread(_: &mut Command) {}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(io_error(format!("setting the permissions of {}", path.display())))
}
