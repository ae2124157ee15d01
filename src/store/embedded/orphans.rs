//! Reaps orphaned processes if the server is process 1.
//!
//! If the database's main process is killed, its worker processes end by themselves, but they remain zombies until
//! process 1 waits for them. In a container without an init process, the server is process 1.

use std::fs;
use std::process;

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Reaps orphans if the server is process 1. Otherwise it does nothing.
pub(super) struct Orphans(Option<Signal>);

impl Orphans {
    /// Subscribes to SIGCHLD if the server is process 1.
    pub(super) fn listen() -> Self {
        let is_first = process::id() == 1;
        Self(is_first.then(|| signal(SignalKind::child()).ok()).flatten())
    }

    /// Reaps orphans whenever a child ends. Never returns. Does not reap the child `own`, for which other code waits.
    pub(super) async fn reap_all_but(&mut self, own: Option<u32>) {
        if let Some(child_ended) = &mut self.0 {
            loop {
                reap(own);
                if child_ended.recv().await.is_none() {
                    break;
                }
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Reaps all children that have ended except `own`.
fn reap(own: Option<u32>) {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for id in ids.filter(|&id| Some(id) != own && is_ended_child(id)) {
        if let Some(pid) = Pid::from_raw(id.cast_signed()) {
            waitpid(Some(pid), WaitOptions::NOHANG).ok();
        }
    }
}

/// Whether the process is a child of this one that has ended.
fn is_ended_child(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name in parentheses may contain any character, so the fields begin after the last parenthesis.
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.next() == Some("Z") && fields.next() == Some(&process::id().to_string())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::process::{getpid, set_child_subreaper};

    use super::*;

    fn until(what: &str, condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < Duration::from_secs(30), "timed out: {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn ended_orphans_are_reaped_and_own_children_are_not() {
        // Like process 1, a subreaper becomes the parent of orphaned descendants.
        set_child_subreaper(Some(getpid())).expect("set");
        let mut parent = Command::new("sh")
            .args(["-c", "sleep 600 </dev/null >/dev/null & echo $!"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawned");
        let mut orphan = String::new();
        parent.stdout.take().expect("piped").read_to_string(&mut orphan).expect("text");
        let orphan: u32 = orphan.trim().parse().expect("a process");
        let mut own = Command::new("true").spawn().expect("spawned");
        until("the parent ends", || is_ended_child(parent.id()));
        assert!(parent.wait().expect("waited for").success());
        until("the own child ends", || is_ended_child(own.id()));

        reap(Some(own.id()));
        assert!(fs::exists(format!("/proc/{orphan}")).expect("read"), "the orphan still runs");
        let pid = Pid::from_raw(orphan.cast_signed()).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        until("the orphan ends", || is_ended_child(orphan));
        reap(Some(own.id()));
        assert!(!fs::exists(format!("/proc/{orphan}")).expect("read"), "the orphan was reaped");
        assert!(own.wait().expect("not reaped").success());
    }
}
