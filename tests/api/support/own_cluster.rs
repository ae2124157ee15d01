//! Postgres clusters for one test, for what would disturb other tests: failover, and running out of connections.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use idlewatt::store::embedded::{Embedded, Settings};
use tokio_postgres::config::Host;

use super::cluster::folder;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A cluster. It ends when it is dropped.
pub struct OwnCluster {
    embedded: Embedded,
    settings: Settings,
    folder: PathBuf,
}

impl OwnCluster {
    /// A new one with an empty database, and with further settings such as `max_connections=20`.
    pub async fn start(extra: &[&str]) -> Self {
        let cheap = ["fsync=off", "full_page_writes=off", "shared_buffers=16MB"];
        let settings = Settings {
            search_path: env::var_os("PATH"),
            extra: cheap.iter().chain(extra).map(|it| (*it).to_owned()).collect(),
            ..Settings::default()
        };
        let cluster = Self::start_in(&new_folder(), settings).await;
        cluster.embedded.ensure_database().await.expect("a database");
        cluster
    }

    async fn start_in(folder: &Path, settings: Settings) -> Self {
        let embedded = Embedded::start(folder, settings.clone()).await.expect("Postgres starts");
        Self { embedded, settings, folder: folder.to_owned() }
    }

    /// How to connect to its database.
    pub fn database(&self) -> tokio_postgres::Config {
        self.embedded.connection()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let log = self.folder.join("postgres.log");
        fs::read_to_string(log).expect("a log")
    }

    /// A standby that follows this one.
    pub async fn standby(&self) -> Self {
        let folder = new_folder();
        let database = self.database();
        let [Host::Unix(sockets)] = database.get_hosts() else { panic!("a unix socket") };
        let owner = fs::metadata(sockets).expect("the socket's folder");
        std::os::unix::fs::chown(&folder, Some(owner.uid()), Some(owner.gid())).expect("given");
        let mut copy = Command::new(pg_basebackup());
        copy.arg("--pgdata").arg(folder.join("postgres")).arg("--host").arg(sockets);
        copy.args(["--username", "idlewatt", "--checkpoint=fast", "--write-recovery-conf"]);
        // As the owner of the cluster, so that it owns the copy too.
        if owner.uid() != fs::metadata("/proc/self").expect("ourselves").uid() {
            copy.uid(owner.uid()).gid(owner.gid());
        }
        let output = copy.current_dir("/").output().expect("pg_basebackup runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self::start_in(&folder, self.settings.clone()).await
    }
}

fn new_folder() -> PathBuf {
    let folder = folder().join(format!("own-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

/// It is part of Postgres, but not always on the search path.
fn pg_basebackup() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let versioned = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten();
    let versioned = versioned.filter_map(Result::ok).map(|entry| entry.path().join("bin"));
    let mut programs =
        env::split_paths(&path).chain(versioned).map(|folder| folder.join("pg_basebackup"));
    programs.find(|program| program.is_file()).expect("pg_basebackup is installed with Postgres")
}
