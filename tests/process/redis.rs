//! A Redis server for a test.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::program::until;

/// A Redis server that ends with the test and writes no files.
pub struct RedisServer {
    port: u16,
    child: Child,
}

impl RedisServer {
    /// Starts a server and waits until it listens.
    pub fn start() -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|it| it.local_addr());
        let port = free.expect("a free port").port();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server", "--bind", "127.0.0.1"])
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let server = Self { port, child };
        until("Redis listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        server
    }

    /// Sends a command, with its words separated by spaces, that must be answered with `OK`.
    pub fn command(&self, words: &str) {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(words.split(' ')).output();
        let answer = output.expect("redis-cli is installed").stdout;
        assert_eq!(String::from_utf8_lossy(&answer).trim(), "OK", "{words}");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
