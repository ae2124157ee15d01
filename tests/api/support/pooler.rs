//! A pgbouncer in transaction mode in front of the cluster.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tokio_postgres::config::Host;

use super::cluster::{cluster, folder};

/// Long enough for a machine that is compiling too.
const START_LIMIT: Duration = Duration::from_secs(30);
const PORT: u16 = 6432;
const USER: &str = "idlewatt";

struct Pooler {
    sockets: PathBuf,
    /// Ends when its input ends, and so with the tests.
    _child: Child,
}

static POOLER: OnceLock<Pooler> = OnceLock::new();

/// Whether all servers are to reach their databases through the pooler: `TEST_DATABASE_POOLER`.
pub fn is_asked_for() -> bool {
    env::var_os("TEST_DATABASE_POOLER").is_some_and(|value| !value.is_empty())
}

/// How to connect to a database through the pooler.
pub fn connection_to(database: &str) -> tokio_postgres::Config {
    let pooler = POOLER.get_or_init(start);
    let mut config = tokio_postgres::Config::new();
    config.host_path(&pooler.sockets).port(PORT).user(USER).dbname(database);
    config
}

fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut programs = folders.map(|folder| folder.join("pgbouncer"));
    programs
        .find(|program| program.exists())
        .expect("pgbouncer: run scripts/ensure-program pgbouncer")
}

fn start() -> Pooler {
    let backend = cluster().connection_to("postgres");
    let [Host::Unix(backend)] = backend.get_hosts() else {
        panic!("the cluster is on a unix socket")
    };
    let sockets = folder().join("pooler");
    fs::create_dir_all(&sockets).expect("a folder");
    let file = sockets.join("pgbouncer.ini");
    fs::write(&file, settings(backend, &sockets)).expect("a file");
    fs::write(sockets.join("users"), format!("\"{USER}\" \"\"\n")).expect("a file");
    let mut command = Command::new("sh");
    command
        .args(["-c", "\"$1\" --quiet \"$2\" & pooler=$!; read -r _; kill $pooler", "sh"])
        .args([&program(), &file])
        .stdin(Stdio::piped());
    let owner = fs::metadata(backend).expect("the cluster's folder");
    if owner.uid() != fs::metadata(&sockets).expect("made").uid() {
        // It refuses to run as root; the owner of the cluster's socket may connect there.
        chown(&sockets, Some(owner.uid()), Some(owner.gid())).expect("given away");
        command.uid(owner.uid()).gid(owner.gid());
    }
    let child = command.spawn().expect("a shell");
    let socket = sockets.join(format!(".s.PGSQL.{PORT}"));
    let deadline = Instant::now() + START_LIMIT;
    while UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < deadline, "pgbouncer does not start");
        thread::sleep(Duration::from_millis(5));
    }
    Pooler { sockets, _child: child }
}

/// Few connections to each database, so that sessions change clients all the time.
fn settings(backend: &Path, sockets: &Path) -> String {
    format!(
        "[databases]\n* = host={} port=5432\n\
        [pgbouncer]\npool_mode = transaction\nlisten_addr =\nlisten_port = {PORT}\n\
        unix_socket_dir = {sockets}\nauth_type = trust\nauth_file = {sockets}/users\n\
        default_pool_size = 3\nmax_client_conn = 5000\nserver_idle_timeout = 5\nserver_login_retry = 1\nlogfile = {sockets}/log\n",
        backend.display(),
        sockets = sockets.display()
    )
}
