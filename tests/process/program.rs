//! Helpers that run the program.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde_json::{Value, json};

/// How long a condition may take before the test fails.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A folder that is removed when the test ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        // The number distinguishes tests that give their folders the same name.
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = format!("idlewatt-{name}-{}-{number}", std::process::id());
        let path = env::temp_dir().join(path);
        fs::remove_dir_all(&path).ok();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The program with no settings except those of the test.
pub fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idlewatt"));
    command.env_clear().env("PATH", env::var_os("PATH").expect("a PATH"));
    command.envs(variables.iter().copied()).current_dir(env::temp_dir());
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(variables).args(arguments).output().expect("the program runs")
}

/// Tests send more requests than the default limits allow.
const LIMITS: [(&str, &str); 2] =
    [("RATE_LIMIT_PER_SECOND", "50000"), ("RATE_LIMIT_BURST", "100000")];

fn with_free_ports<'a>(command: &'a mut Command, variables: &[(&str, &str)]) -> &'a mut Command {
    command.env("PORT", "0").env("METRICS_PORT", "0").envs(LIMITS);
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// Collects the log of a child, after the text `first`. The pipe must be read; otherwise the child would block when it
/// is full.
fn follow(child: &mut Child, first: String) -> Arc<Mutex<String>> {
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let log = Arc::new(Mutex::new(first));
    let written = Arc::clone(&log);
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let mut log = written.lock().expect("not poisoned");
            *log += &line;
            log.push('\n');
        }
    });
    log
}

/// A running server. It is killed when dropped.
pub struct Program {
    child: Child,
    pub base: String,
    http: reqwest::Client,
    log: Arc<Mutex<String>>,
}

impl Program {
    /// Starts a server on free ports and returns when it is ready.
    pub fn start(variables: &[(&str, &str)]) -> Self {
        let mut command = command(variables);
        let mut child = with_free_ports(&mut command, variables).spawn().expect("the program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        if line.is_empty() {
            let mut fault = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut fault).expect("text");
            panic!("the server did not start: {fault}");
        }
        let base = line.split_whitespace().find(|word| word.starts_with("http://"));
        let base = base.expect("an address").trim_end_matches(',').to_owned();
        let worker = variables.contains(&("ROLE", "worker"));
        assert!(worker || line.contains("/docs"), "{line}");
        let log = follow(&mut child, line);
        Self { child, base, http: reqwest::Client::new(), log }
    }

    /// Starts a server on free ports and returns when it listens, whether its database is available or not.
    pub fn launch(variables: &[(&str, &str)]) -> Self {
        Self::launch_as(command(variables), variables)
    }

    /// Like [`Program::launch`], with a command that starts the program, possibly through another one.
    pub fn launch_as(mut command: Command, variables: &[(&str, &str)]) -> Self {
        let mut child = with_free_ports(&mut command, variables).spawn().expect("the program runs");
        let log = follow(&mut child, String::new());
        // Created before the server listens, so that the process is killed if it never does.
        let mut program = Self { child, base: String::new(), http: reqwest::Client::new(), log };
        let address = until("the server listens", || {
            let log = program.log();
            let line = log.lines().find(|line| line.contains("listening"))?;
            Some(line.split_once("address=")?.1.trim().to_owned())
        });
        program.base = format!("http://{address}");
        program
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        send_signal(self.pid(), name);
    }

    /// Waits until the program ends.
    pub fn wait(&mut self) -> ExitStatus {
        until("the program ends", || self.child.try_wait().expect("a child"))
    }

    /// Sends a request, which must be answered. Returns the status and the body.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        self.try_call(method, path, token, body).await.expect("an answer")
    }

    /// Sends a request. Returns the status and the body; `None` if the connection fails.
    pub async fn try_call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> Option<(u16, Value)> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// Sends a `GET` with the header `Origin`.
    pub async fn get_from(&self, origin: &str, path: &str) -> reqwest::Response {
        let request = self.http.get(format!("{}{path}", self.base)).header("Origin", origin);
        request.send().await.expect("an answer")
    }

    /// Sends a `POST` with an idempotency key. Returns the status and the body; `None` if the connection fails.
    pub async fn try_keyed(
        &self,
        path: &str,
        token: &str,
        key: &str,
        body: Value,
    ) -> Option<(u16, Value)> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(token);
        let response = request.header("Idempotency-Key", key).json(&body).send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// Creates a guest and returns its access token.
    pub async fn guest(&self) -> String {
        let (status, answer) = self.call("POST", "/api/v1/auth/guest", "", Some(json!({}))).await;
        assert_eq!(status, 201, "{answer}");
        answer["tokens"]["access_token"].as_str().expect("a token").to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port on which nobody listens.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}

pub fn send_signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// Whether a process runs.
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended.
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Waits until `condition` returns something.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(started.elapsed() < TIMEOUT, "timeout: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The process id of the database in a data folder.
pub fn database_pid(folder: &Path) -> u32 {
    let file = folder.join("postgres/postmaster.pid");
    until("the database has a process", || {
        fs::read_to_string(&file).ok()?.lines().next()?.trim().parse().ok()
    })
}
