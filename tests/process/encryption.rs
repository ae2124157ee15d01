//! TLS connections to a real Postgres with certificates that the test makes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use idlewatt::store::embedded::{Embedded, Settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tokio_postgres::NoTls;
use tokio_postgres::config::Host;

use crate::program::{Folder, Program, free_port, run};

const SECRET: &str = "a secret of the tests, long enough to sign with";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

/// A Postgres that accepts network connections only with TLS, and authenticates with SCRAM, so that passwords are never
/// sent. Its certificate is for `localhost`.
struct SecurePostgres {
    // Stopped before its folder is removed.
    _embedded: Embedded,
    folder: Folder,
    port: u16,
}

impl SecurePostgres {
    async fn start(authority: &Authority) -> Self {
        let folder = Folder::new("encryption");
        fs::create_dir_all(folder.path()).expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, authority).expect("signed");
        // The first run creates the cluster, whose owner must also own the files that are added.
        let (data, port) = (folder.path().join("data"), free_port());
        fs::create_dir_all(&data).expect("a folder");
        drop(start(data.clone(), Vec::new()).await);
        let owner = fs::metadata(data.join("postgres")).expect("a cluster");
        let file = |name: &str, text: &str| {
            let path = data.join("postgres").join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("private");
            chown(&path, Some(owner.uid()), Some(owner.gid())).expect("owner changed");
            path.display().to_string()
        };
        let settings = vec![
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file("of-the-test.crt", &certificate.pem())),
            format!("ssl_key_file={}", file("of-the-test.key", &key.serialize_pem())),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "password_encryption=scram-sha-256".to_owned(),
        ];
        file(
            "pg_hba.conf",
            "local all all trust\nhostssl all open 127.0.0.1/32 trust\n\
            hostssl all all 127.0.0.1/32 scram-sha-256\n",
        );
        let embedded = start(data, settings).await;
        let own = embedded.connection_to("postgres");
        let [Host::Unix(socket)] = own.get_hosts() else { panic!("a unix socket") };
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(socket)
            .port(port)
            .user(own.get_user().expect("a user"))
            .dbname("postgres");
        let (client, connection) = config.connect(NoTls).await.expect("connected");
        tokio::spawn(connection);
        client
            .batch_execute("create role game login password 'p'; create role open login")
            .await
            .expect("made");
        client.batch_execute("create database game owner game").await.expect("made");
        Self { folder, port, _embedded: embedded }
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!("postgres://game:p@{host}:{}/game?{parameters}", self.port)
    }

    fn pem(&self, name: &str, authority: &Authority) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, authority.pem()).expect("written");
        path
    }
}

async fn start(data: PathBuf, extra: Vec<String>) -> Embedded {
    let settings = Settings {
        search_path: std::env::var_os("PATH"),
        extra: [vec!["fsync=off".to_owned()], extra].concat(),
        ..Settings::default()
    };
    Embedded::start(&data, settings).await.expect("Postgres starts")
}

/// Whether `idlewatt doctor` succeeds with a database, and its output.
fn diagnosis(url: &str, authorities: Option<&PathBuf>) -> (bool, String) {
    let file = authorities.map_or("", |path| path.to_str().expect("text"));
    let variables = [
        ("DATABASE_URL", url),
        ("DATABASE_CA_FILE", file),
        ("JWT_SECRET", SECRET),
        ("PORT", "0"),
        ("METRICS_PORT", "0"),
    ];
    let output = run(&["doctor"], &variables);
    let message = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(message).expect("text"))
}

#[tokio::test]
async fn a_database_is_accepted_only_if_its_certificate_satisfies_sslmode() {
    let (ours, other) = (authority("ours"), authority("another's"));
    let postgres = SecurePostgres::start(&ours).await;
    let (ours, other) = (postgres.pem("ours.pem", &ours), postgres.pem("other.pem", &other));
    let by_name = |parameters: &str| postgres.url("localhost", parameters);
    let by_address = |parameters: &str| postgres.url("127.0.0.1", parameters);
    for (url, authorities) in [
        (by_name("sslmode=require"), &ours),
        (by_name("sslmode=verify-full"), &ours),
        (by_name("sslmode=verify-full&channel_binding=require"), &ours),
        (by_name("sslmode=verify-ca"), &ours),
        (by_address("sslmode=verify-ca"), &ours),
    ] {
        let (succeeded, message) = diagnosis(&url, Some(authorities));
        assert!(succeeded, "{url}: {message}");
    }
    for (url, authorities, reason) in [
        (by_address("sslmode=verify-full"), Some(&ours), "name"),
        (by_address("sslmode=require"), Some(&ours), "name"),
        (by_name("sslmode=verify-full"), Some(&other), "issuer"),
        (by_name("sslmode=verify-ca"), Some(&other), "issuer"),
        (by_name("sslmode=verify-full"), None, "issuer"),
        (by_name("sslmode=require"), None, "issuer"),
        (by_name("sslmode=disable"), Some(&ours), "no encryption"),
        // The role `open` needs no password. Such a server does not prove its identity by channel binding.
        (
            by_name("sslmode=verify-full&channel_binding=require").replace("game:p@", "open:p@"),
            Some(&ours),
            "channel binding",
        ),
    ] {
        let (succeeded, message) = diagnosis(&url, authorities);
        assert!(!succeeded && message.contains("FAULT database"), "{url}: {message}");
        assert!(message.to_lowercase().contains(reason), "{url}: {message}");
        assert!(!message.contains(":p@"), "{message}");
    }
    let url = by_name("sslmode=verify-full&channel_binding=require");
    let server = Program::start(&[
        ("DATABASE_URL", &url),
        ("DATABASE_CA_FILE", ours.to_str().expect("text")),
        ("JWT_SECRET", SECRET),
    ]);
    let token = server.guest().await;
    let clicks = Some(json!({ "clicks": 2 }));
    let (status, answer) = server.call("POST", "/api/v1/me/clicks", &token, clicks).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(2)), "{answer}");
}
