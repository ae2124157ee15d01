//! One Postgres for the whole run, started as the server starts its embedded one, and a database for each test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

use idlewatt::store::embedded::{Embedded, Settings};
use idlewatt::store::{Store, StoreOptions};
use tokio::sync::OnceCell;

const PREFIX: &str = "idlewatt-tests-";
const TEMPLATE: &str = "template_idlewatt";

static CLUSTER: OnceLock<Embedded> = OnceLock::new();
static PREPARED: OnceCell<()> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The cluster. It ends with this process, because it is never dropped.
pub fn cluster() -> &'static Embedded {
    CLUSTER.get_or_init(|| {
        remove_leftovers();
        let folder = folder();
        // Callers are in an asynchronous runtime already, which must not be blocked.
        let start = move || {
            fs::create_dir_all(&folder).expect("a temporary folder");
            let extra = ["fsync=off", "full_page_writes=off", "max_connections=500"];
            let settings = Settings {
                search_path: env::var_os("PATH"),
                extra: extra.map(str::to_owned).to_vec(),
                ..Settings::default()
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(Embedded::start(&folder, settings)).expect("Postgres starts")
        };
        thread::spawn(start).join().expect("started")
    })
}

/// The folder of this run.
pub fn folder() -> PathBuf {
    env::temp_dir().join(format!("{PREFIX}{}", process::id()))
}

/// Removes what killed runs left behind.
fn remove_leftovers() {
    let entries = fs::read_dir(env::temp_dir()).expect("a temporary folder");
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

fn store(connection: tokio_postgres::Config) -> Store {
    let second = std::time::Duration::from_secs(30);
    Store::new(StoreOptions {
        endpoint: connection.into(),
        pool_size: 1,
        pool_timeout: second,
        connect_timeout: second,
        statement_timeout: second,
    })
    .expect("a pool")
}

/// Runs a statement outside of the tests' databases.
pub async fn administer(sql: &str) {
    let (client, connection) = cluster()
        .connection_to("postgres")
        .connect(tokio_postgres::NoTls)
        .await
        .expect("connected");
    tokio::spawn(connection);
    client.batch_execute(sql).await.expect(sql);
}

/// How to connect to a new database with the present schema.
pub async fn new_database() -> tokio_postgres::Config {
    PREPARED
        .get_or_init(|| async {
            administer(&format!("create database {TEMPLATE}")).await;
            let store = store(cluster().connection_to(TEMPLATE));
            store.migrate().await.expect("migrated");
            store.close();
            // Closing is not waited for, and a template with open connections cannot be copied.
            administer(&format!(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{TEMPLATE}'"
            ))
            .await;
        })
        .await;
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    administer(&format!("create database {name} template {TEMPLATE}")).await;
    cluster().connection_to(&name)
}

/// How to connect to a new database with nothing in it.
pub async fn empty_database() -> tokio_postgres::Config {
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    administer(&format!("create database {name}")).await;
    cluster().connection_to(&name)
}

/// How to connect to a copy of a database, which must have no connections.
pub async fn copy_of(database: &tokio_postgres::Config) -> tokio_postgres::Config {
    let template = database.get_dbname().expect("a name");
    administer(&format!(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{template}'"
    ))
    .await;
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    administer(&format!("create database {name} template {template}")).await;
    cluster().connection_to(&name)
}
