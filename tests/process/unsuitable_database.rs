//! Databases that the server cannot use: both the server at its start and the doctor report why.

use std::fs;

use idlewatt::store::embedded::{Embedded, Settings};
use tokio_postgres::NoTls;
use tokio_postgres::config::Host;

use crate::program::{Folder, run};

const SECRET: &str = "a secret of the tests, long enough to sign with";

/// A Postgres server in which the tests create unsuitable databases.
struct Postgres {
    // Stopped before its folder is removed.
    embedded: Embedded,
    _folder: Folder,
}

impl Postgres {
    async fn start() -> Self {
        let folder = Folder::new("unfit");
        fs::create_dir_all(folder.path()).expect("a folder");
        let settings = Settings {
            search_path: std::env::var_os("PATH"),
            extra: vec!["fsync=off".to_owned()],
            ..Settings::default()
        };
        let path = folder.path().canonicalize().expect("a folder");
        let embedded = Embedded::start(&path, settings).await.expect("Postgres starts");
        Self { embedded, _folder: folder }
    }

    async fn run(&self, database: &str, sql: &[&str]) {
        let (client, connection) =
            self.embedded.connection_to(database).connect(NoTls).await.expect("connected");
        let driver = tokio::spawn(connection);
        for statement in sql {
            client.batch_execute(statement).await.expect(statement);
        }
        drop(client);
        driver.await.expect("ended").expect("no error");
    }

    fn url(&self, role: &str, database: &str) -> String {
        let connection = self.embedded.connection_to(database);
        let [Host::Unix(socket)] = connection.get_hosts() else { panic!("a unix socket") };
        format!("host={} user={role} dbname={database}", socket.display())
    }
}

/// The errors that the doctor and the server report about a database. Both must fail.
fn refused(url: &str) -> [String; 2] {
    let settings =
        [("DATABASE_URL", url), ("JWT_SECRET", SECRET), ("PORT", "0"), ("METRICS_PORT", "0")];
    let doctor = run(&["doctor"], &settings);
    let (message, server) = (String::from_utf8_lossy(&doctor.stdout), run(&[], &settings));
    assert_eq!(doctor.status.code(), Some(1), "{message}");
    let fault = message.lines().find(|line| line.starts_with("FAULT schema")).map(str::to_owned);
    let fault = fault.unwrap_or_else(|| panic!("{message}"));
    let error = String::from_utf8_lossy(&server.stderr).into_owned();
    assert_eq!(server.status.code(), Some(1), "{error}");
    [fault, error]
}

#[tokio::test]
async fn the_error_of_an_unsuitable_database_names_the_solution() {
    let postgres = Postgres::start().await;
    postgres
        .run(
            "postgres",
            &[
                "create role game login",
                "create database poor",
                "create database lost owner game",
                "create database latin owner game encoding 'LATIN1' template template0 locale 'C'",
                "create database ascii owner game encoding 'SQL_ASCII' template template0 locale 'C'",
                "create database foreign_tables",
                "alter database lost set search_path = nowhere",
            ],
        )
        .await;
    let foreign = postgres.url("idlewatt", "foreign_tables");
    let migrated = run(&["migrate"], &[("DATABASE_URL", &foreign), ("JWT_SECRET", SECRET)]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    postgres.run("foreign_tables", &["grant all on schema public to game"]).await;
    for (database, expected) in [
        ("poor", ["schema public", "grant create on schema"]),
        ("lost", ["(nowhere)", "set search_path"]),
        ("latin", ["LATIN1", "encoding 'UTF8'"]),
        ("ascii", ["SQL_ASCII", "encoding 'UTF8'"]),
        ("foreign_tables", ["tables, such as accounts", "the role that made"]),
    ] {
        for message in refused(&postgres.url("game", database)) {
            assert!(expected.iter().all(|it| message.contains(it)), "{database}: {message}");
        }
    }
    // After the databases are repaired the doctor accepts them.
    postgres.run("poor", &["grant create on schema public to game"]).await;
    postgres.run("lost", &["create schema nowhere authorization game"]).await;
    for database in ["poor", "lost"] {
        let url = postgres.url("game", database);
        let settings =
            [("DATABASE_URL", &*url), ("JWT_SECRET", SECRET), ("PORT", "0"), ("METRICS_PORT", "0")];
        for command in ["doctor", "migrate", "doctor"] {
            let output = run(&[command], &settings);
            let message = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{database}: {message}");
        }
    }
}

#[tokio::test]
async fn the_doctor_detects_a_read_only_database() {
    let postgres = Postgres::start().await;
    let sql =
        ["create database closed", "alter database closed set default_transaction_read_only = on"];
    postgres.run("postgres", &sql).await;
    let url = postgres.url("idlewatt", "closed");
    let settings =
        [("DATABASE_URL", &*url), ("JWT_SECRET", SECRET), ("PORT", "0"), ("METRICS_PORT", "0")];
    let output = run(&["doctor"], &settings);
    let message = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("FAULT writes") && message.contains("read-only"), "{message}");
}
