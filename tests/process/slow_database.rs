//! An embedded database that takes long to start, as it does after a crash.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::json;

use crate::program::{Folder, Program, database_pid, runs, send_signal, until};

/// A PostgreSQL installation whose programs wait before they run while their gate is closed. A gate is a file.
struct Gate(Folder);

impl Gate {
    /// An installation whose programs do not wait.
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        fs::create_dir_all(folder.path()).expect("a folder");
        // If the test runs as root, the database runs as another user, who also writes to this folder.
        set_mode(folder.path(), 0o777);
        let gate = Self(folder);
        for program in ["postgres", "initdb"] {
            let path = gate.file(program);
            fs::write(&path, gate.script(program)).expect("written");
            set_mode(&path, 0o755);
        }
        gate
    }

    /// The wrapper script of a program. It records the start, and waits while the gate is closed. It records signals
    /// that arrive while it waits, and ends unless a file says that it ignores the signal. Then it runs the real
    /// program.
    fn script(&self, program: &str) -> String {
        let folder = self.0.path().display();
        let real = installed(program);
        let real = real.display();
        format!(
            "#!/bin/sh\n\
             cd {folder}\n\
             for name in INT QUIT; do\n\
             trap \"echo $name >>{program}-signals; [ -e ignores-$name ] || exit 1\" $name\n\
             done\n\
             echo started >>{program}-starts\n\
             while [ -e {program}-waits ]; do sleep 0.02; done\n\
             trap - INT QUIT\n\
             cd /\n\
             exec {real} \"$@\"\n"
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn close(&self, program: &str) {
        fs::write(self.file(&format!("{program}-waits")), "").expect("written");
    }

    fn open(&self, program: &str) {
        fs::remove_file(self.file(&format!("{program}-waits"))).expect("removed");
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often a program was started.
    fn starts(&self, program: &str) -> usize {
        self.lines(&format!("{program}-starts")).len()
    }

    /// The signals that the program received while it waited.
    fn signals(&self, program: &str) -> Vec<String> {
        self.lines(&format!("{program}-signals"))
    }

    fn path(&self) -> &str {
        self.0.path().to_str().expect("text")
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

/// The path of a PostgreSQL program, which is not always in PATH.
fn installed(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let versioned = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten();
    let versioned = versioned.filter_map(Result::ok).map(|entry| entry.path().join("bin"));
    let mut programs = env::split_paths(&path).chain(versioned).map(|it| it.join(program));
    programs.find(|it| it.is_file()).expect("PostgreSQL is installed")
}

/// An origin that CORS allows.
const ORIGIN: &str = "https://play.example.org";

/// The status that `/readyz` answers, and its HTTP status.
async fn readiness(server: &Program) -> (u16, String) {
    let (status, answer) = server.call("GET", "/readyz", "", None).await;
    (status, answer["status"].as_str().expect("text").to_owned())
}

/// Waits until `/readyz` answers `expected`.
async fn until_readiness(server: &Program, expected: (u16, &str)) {
    let mut attempts = 0;
    loop {
        let (status, text) = readiness(server).await;
        if (status, text.as_str()) == expected {
            return;
        }
        attempts += 1;
        assert!(attempts < 5_000, "expected {expected:?}, got {status} {text}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_server_whose_database_is_starting_answers_probes_and_can_be_stopped() {
    for (program, signal) in [("postgres", "INT"), ("postgres", "TERM"), ("initdb", "INT")] {
        let (folder, gate) = (Folder::new("starting"), Gate::new("starting-gate"));
        gate.close(program);
        let settings = [
            ("DATA_DIR", folder.path().to_str().expect("text")),
            ("PG_BINDIR", gate.path()),
            // Has no effect, because the server was never ready. Otherwise the test would time out.
            ("DRAIN_DELAY_SECONDS", "600"),
            ("CORS_ALLOWED_ORIGINS", ORIGIN),
        ];
        let mut server = Program::launch(&settings);
        until("the database begins to start", || (gate.starts(program) == 1).then_some(()));
        assert_eq!(server.call("GET", "/healthz", "", None).await.0, 200);
        assert_eq!(readiness(&server).await, (503, "starting".to_owned()));
        let (status, problem) = server.call("GET", "/api/v1/catalog", "", None).await;
        assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
        let answer = server.get_from(ORIGIN, "/api/v1/catalog").await;
        let header =
            |name: &str| answer.headers()[name].to_str().expect("text").to_ascii_lowercase();
        assert_eq!(
            (answer.status().as_u16(), header("access-control-allow-origin").as_str()),
            (503, ORIGIN)
        );
        assert!(
            header("access-control-expose-headers").contains("retry-after"),
            "a page can read it"
        );
        assert!(header("vary").contains("origin") && !header("retry-after").is_empty());
        server.signal(signal);
        assert!(server.wait().success(), "{}", server.log());
        assert_eq!(gate.starts(program), 1);
        if program == "postgres" {
            assert_eq!(gate.signals(program), ["INT"], "the database is shut down cleanly");
        }
        gate.open(program);
        let again = Program::start(&settings);
        again.guest().await;
    }
}

#[tokio::test]
async fn a_server_is_ready_when_its_database_is_ready() {
    let (folder, gate) = (Folder::new("ready-later"), Gate::new("ready-later-gate"));
    gate.close("postgres");
    let server = Program::launch(&[
        ("DATA_DIR", folder.path().to_str().expect("text")),
        ("PG_BINDIR", gate.path()),
    ]);
    assert_eq!(readiness(&server).await, (503, "starting".to_owned()));
    gate.open("postgres");
    until_readiness(&server, (200, "ok")).await;
    server.guest().await;
    assert_eq!(gate.starts("postgres"), 1);
}

/// A server whose database was killed and now waits at the closed gate during its first restart.
async fn with_a_database_that_restarts(folder: &Folder, gate: &Gate) -> (Program, String) {
    let server = Program::start(&[
        ("DATA_DIR", folder.path().to_str().expect("text")),
        ("PG_BINDIR", gate.path()),
        ("DRAIN_DELAY_SECONDS", "0"),
    ]);
    let token = server.guest().await;
    let clicks = Some(json!({ "clicks": 1 }));
    assert_eq!(server.call("POST", "/api/v1/me/clicks", &token, clicks).await.0, 200);
    gate.close("postgres");
    send_signal(database_pid(folder.path()), "KILL");
    until("the database is started again", || (gate.starts("postgres") == 2).then_some(()));
    until_readiness(&server, (200, "degraded")).await;
    let clicks = Some(json!({ "clicks": 1 }));
    let (status, problem) = server.call("POST", "/api/v1/me/clicks", &token, clicks).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
    assert_waits_for_the_second_start(&server, gate);
    (server, token)
}

/// Asserts that there was no third start, and that the second one has not failed.
#[track_caller]
fn assert_waits_for_the_second_start(server: &Program, gate: &Gate) {
    assert_eq!(gate.starts("postgres"), 2);
    assert!(!server.log().contains("does not start"), "{}", server.log());
}

#[tokio::test]
async fn a_server_whose_database_is_recovering_answers_probes_and_can_be_stopped() {
    for signal in ["TERM", "INT"] {
        let (folder, gate) = (Folder::new("recovering"), Gate::new("recovering-gate"));
        let (mut server, _) = with_a_database_that_restarts(&folder, &gate).await;
        server.signal(signal);
        assert!(server.wait().success(), "{}", server.log());
        assert_waits_for_the_second_start(&server, &gate);
        assert_eq!(gate.signals("postgres"), ["INT"], "the database is shut down cleanly");
    }
}

#[tokio::test]
async fn requests_succeed_after_the_database_has_recovered() {
    let (folder, gate) = (Folder::new("recovered"), Gate::new("recovered-gate"));
    let (server, token) = with_a_database_that_restarts(&folder, &gate).await;
    gate.open("postgres");
    until_readiness(&server, (200, "ok")).await;
    let clicks = Some(json!({ "clicks": 1 }));
    let (status, answer) = server.call("POST", "/api/v1/me/clicks", &token, clicks).await;
    assert_eq!((status, &answer["state"]["version"]), (200, &json!(2)));
    assert_waits_for_the_second_start(&server, &gate);
}

#[tokio::test]
async fn a_second_sigint_stops_the_server_without_waiting_for_its_database() {
    let (folder, gate) = (Folder::new("stopped-twice"), Gate::new("stopped-twice-gate"));
    gate.close("postgres");
    fs::write(gate.file("ignores-INT"), "").expect("written");
    let settings =
        [("DATA_DIR", folder.path().to_str().expect("text")), ("PG_BINDIR", gate.path())];
    let mut server = Program::launch(&settings);
    until("the database begins to start", || (gate.starts("postgres") == 1).then_some(()));
    server.signal("INT");
    until("the database is asked to stop", || (gate.signals("postgres").len() == 1).then_some(()));
    server.signal("INT");
    assert!(server.wait().success(), "{}", server.log());
    // The server does not wait until the database has received it.
    until("the database is asked again", || (gate.signals("postgres").len() == 2).then_some(()));
    assert_eq!(gate.signals("postgres"), ["INT", "QUIT"]);
}

/// Skipped without the permission to create a PID namespace.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn as_process_1_the_server_reaps_the_orphans_of_a_killed_database() {
    use std::process::Command;
    let unshare = ["--pid", "--fork", "--mount-proc", "--kill-child", "--"];
    if !Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|it| it.success()) {
        return;
    }
    let folder = Folder::new("process-1");
    let settings = [("DATA_DIR", folder.path().to_str().expect("text"))];
    let mut command = Command::new("unshare");
    command.args(unshare).arg(env!("CARGO_BIN_EXE_idlewatt")).env_clear();
    command.env("PATH", env::var_os("PATH").expect("a PATH")).current_dir(env::temp_dir());
    let server = Program::launch_as(command, &settings);
    until_readiness(&server, (200, "ok")).await;
    let first = children(server.pid())[0].0;
    let database = children(first).iter().find(|(_, ended)| !ended).expect("a database").0;
    let orphans = children(database);
    assert!(orphans.len() > 3, "a database has processes of its own: {orphans:?}");
    send_signal(database, "KILL");
    until("a database runs, and nothing else is left", || {
        let children = children(first);
        (children.len() == 1 && children[0].0 != database && !children[0].1).then_some(())
    });
    until_readiness(&server, (200, "ok")).await;
    // A process that is just being orphaned is nobody's child for a moment.
    until("the orphans are reaped", || {
        orphans.iter().all(|&(process, _)| !runs(process)).then_some(())
    });
}

/// The children of a process, and whether each is a zombie.
#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<(u32, bool)> {
    let processes = fs::read_dir("/proc").expect("read").filter_map(Result::ok);
    let child = |entry: fs::DirEntry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let ended = fields.next()? == "Z";
        (fields.next()?.parse() == Ok(parent)).then_some((process, ended))
    };
    processes.filter_map(child).collect()
}
