//! Redis servers: one for the whole run, in which each test has its own prefix, and servers that a test may stop,
//! freeze and start again.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

static SHARED: OnceLock<String> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The address of the shared server.
pub fn shared_redis() -> &'static str {
    SHARED.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        // The server ends with the thread that started it, so that thread waits for ever.
        thread::spawn(move || {
            let server = RedisServer::start(&[]);
            sender.send(server.url()).expect("the receiver waits");
            loop {
                thread::park();
            }
        });
        receiver.recv().expect("Redis starts")
    })
}

/// A prefix that no other test uses.
pub fn new_prefix() -> String {
    format!("test-{}-{}:", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A server of one test. It ends with the test.
pub struct RedisServer {
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server with further options, such as `--requirepass x`.
    pub fn start(options: &[&str]) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("idlewatt-redis-{}-{number}", process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { port: free_port(), folder, options, child: None };
        server.run();
        server
    }

    /// The address of a server that is not started yet.
    pub fn planned() -> Self {
        let mut server = Self::start(&[]);
        server.kill();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts the server again, on the same port, and waits until it listens.
    pub fn run(&mut self) {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "redis-server", "--bind", "127.0.0.1"])
            .args(["--port", &self.port.to_string(), "--save", "", "--appendonly", "no"])
            .args(["--dir", self.folder.to_str().expect("a path in UTF-8")])
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not listen");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }

    /// Makes it accept connections and never answer.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it continue.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// A connection for the test.
    pub async fn connect(&self) -> redis::aio::MultiplexedConnection {
        connect(&self.url()).await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// A connection for the test.
pub async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).expect("an address");
    client.get_multiplexed_async_connection().await.expect("connected")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A cluster of three masters.
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts them and waits until all slots are served.
    pub async fn start() -> Self {
        let node = |_| {
            let port = free_port().to_string();
            RedisServer::start(&["--cluster-enabled", "yes", "--cluster-port", &port])
        };
        let cluster = Self { nodes: (0..3).map(node).collect() };
        let addresses = cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let made = Command::new("redis-cli")
            .args(["--cluster", "create", "--cluster-yes"])
            .args(addresses)
            .output()
            .expect("redis-cli is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let deadline = Instant::now() + Duration::from_secs(20);
        for node in &cluster.nodes {
            let mut connection = node.connect().await;
            loop {
                let info: redis::RedisResult<String> =
                    redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await;
                if info.expect("told").contains("cluster_state:ok") {
                    break;
                }
                assert!(Instant::now() < deadline, "the cluster does not form");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        cluster
    }

    /// The address of one of its nodes.
    pub fn url(&self) -> String {
        self.nodes[0].url()
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }
}

/// A server that speaks TLS only, with a certificate of the test.
pub struct TlsRedis {
    port: u16,
    pub ca_file: PathBuf,
    _server: RedisServer,
}

impl TlsRedis {
    pub fn start() -> Self {
        let folder = env::temp_dir().join(new_prefix().trim_end_matches(':'));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let file = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let ca_file = file("cert.pem", made.cert.pem());
        let key = file("key.pem", made.signing_key.serialize_pem());
        let text = |path: &PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        let (cert, key, port) = (text(&ca_file), text(&key), free_port());
        let server = RedisServer::start(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &cert,
            "--tls-auth-clients",
            "no",
            "--requirepass",
            "hidden",
        ]);
        Self { port, ca_file, _server: server }
    }

    /// Its address, with its password and a database number.
    pub fn url(&self) -> String {
        format!("rediss://:hidden@localhost:{}/2", self.port)
    }
}
