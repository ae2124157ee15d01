//! Databases that the server cannot work in: the server says so at its start, and so does the doctor.

use std::fs;

use idlewatt::store::embedded::{Embedded, Settings};
use tokio_postgres::NoTls;
use tokio_postgres::config::Host;

use crate::program::{Folder, run};

const SECRET: &str = "a secret of the tests, long enough to sign with";

/// A Postgres with databases that lack something.
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
        driver.await.expect("ended").expect("in order");
    }

    fn url(&self, role: &str, database: &str) -> String {
        let connection = self.embedded.connection_to(database);
        let [Host::Unix(socket)] = connection.get_hosts() else { panic!("a unix socket") };
        format!("host={} user={role} dbname={database}", socket.display())
    }
}

/// What the doctor and the server say about a database; both must find a fault.
fn refused(url: &str) -> [String; 2] {
    let settings =
        [("DATABASE_URL", url), ("JWT_SECRET", SECRET), ("PORT", "0"), ("METRICS_PORT", "0")];
    let doctor = run(&["doctor"], &settings);
    let (said, server) = (String::from_utf8_lossy(&doctor.stdout), run(&[], &settings));
    assert_eq!(doctor.status.code(), Some(1), "{said}");
    let fault = said.lines().find(|line| line.starts_with("FAULT schema")).map(str::to_owned);
    let fault = fault.unwrap_or_else(|| panic!("{said}"));
    let error = String::from_utf8_lossy(&server.stderr).into_owned();
    assert_eq!(server.status.code(), Some(1), "{error}");
    [fault, error]
}

#[tokio::test]
async fn what_a_database_lacks_is_reported_with_what_to_do() {
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
    let others = postgres.url("idlewatt", "foreign_tables");
    let migrated = run(&["migrate"], &[("DATABASE_URL", &others), ("JWT_SECRET", SECRET)]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    postgres.run("foreign_tables", &["grant all on schema public to game"]).await;
    for (database, told) in [
        ("poor", ["schema public", "grant create on schema"]),
        ("lost", ["(nowhere)", "set search_path"]),
        ("latin", ["LATIN1", "encoding 'UTF8'"]),
        ("ascii", ["SQL_ASCII", "encoding 'UTF8'"]),
        ("foreign_tables", ["tables, such as accounts", "the role that made"]),
    ] {
        for said in refused(&postgres.url("game", database)) {
            assert!(told.iter().all(|it| said.contains(it)), "{database}: {said}");
        }
    }
    // When it has what it lacked the doctor finds nothing wrong.
    postgres.run("poor", &["grant create on schema public to game"]).await;
    postgres.run("lost", &["create schema nowhere authorization game"]).await;
    for database in ["poor", "lost"] {
        let url = postgres.url("game", database);
        let settings =
            [("DATABASE_URL", &*url), ("JWT_SECRET", SECRET), ("PORT", "0"), ("METRICS_PORT", "0")];
        for command in ["doctor", "migrate", "doctor"] {
            let output = run(&[command], &settings);
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{database}: {said}");
        }
    }
}

#[tokio::test]
async fn the_doctor_reports_a_read_only_database() {
    let postgres = Postgres::start().await;
    let sql =
        ["create database closed", "alter database closed set default_transaction_read_only = on"];
    postgres.run("postgres", &sql).await;
    let url = postgres.url("idlewatt", "closed");
    let settings =
        [("DATABASE_URL", &*url), ("JWT_SECRET", SECRET), ("PORT", "0"), ("METRICS_PORT", "0")];
    let output = run(&["doctor"], &settings);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAULT writes") && said.contains("read-only"), "{said}");
}
