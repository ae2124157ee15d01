//! Monitors the tasks and threads without which the process cannot work. If one of them panics or ends unexpectedly,
//! the supervisor reports it at once, so that the process can exit and be restarted.

use std::thread;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Reports the first part that ends. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Supervisor(watch::Sender<Option<Fault>>);

/// A part of the process has ended unexpectedly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} {}, and the server cannot continue without it", if *panicked { "panicked" } else { "ended" })]
pub struct Fault {
    pub part: &'static str,
    pub panicked: bool,
}

impl Supervisor {
    /// A supervisor that monitors nothing yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Waits until a part has ended unexpectedly, and returns the first one.
    pub async fn fault(&self) -> Fault {
        let mut first = self.0.subscribe();
        match first.wait_for(Option::is_some).await.map(|fault| *fault) {
            Ok(Some(fault)) => fault,
            Ok(None) | Err(_) => {
                unreachable!("the sender exists as long as `self`, and the value is set")
            }
        }
    }

    /// A guard that a part keeps as long as it runs.
    pub fn guard(&self, part: &'static str) -> Guard {
        Guard { part, supervisor: Some(self.clone()) }
    }

    /// Spawns a task that runs until the returned value is dropped. If it ends before, the supervisor reports it.
    pub fn spawn(
        &self,
        part: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Task {
        let guard = self.guard(part);
        Task(tokio::spawn(async move {
            let _guard = guard;
            work.await;
        }))
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

/// Reports the end of its part when it is dropped, also by a panic.
#[derive(Debug)]
#[must_use]
pub struct Guard {
    part: &'static str,
    supervisor: Option<Supervisor>,
}

impl Guard {
    /// Ends the part without a fault, because it was asked to stop.
    pub fn finish(mut self) {
        self.supervisor = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(supervisor) = self.supervisor.take() else { return };
        let fault = Fault { part: self.part, panicked: thread::panicking() };
        supervisor.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(fault);
            is_first
        });
    }
}

/// A task that is aborted when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_ends_is_reported() {
        for panicked in [true, false] {
            let supervisor = Supervisor::new();
            let _lasting = supervisor.spawn("the lasting task", pending());
            let _ending = supervisor.spawn("the ending task", async move {
                tokio::task::yield_now().await;
                assert!(!panicked, "expected by the test");
            });
            let fault = supervisor.fault().await;
            assert_eq!(fault, Fault { part: "the ending task", panicked });
            let verb = if panicked { "panicked" } else { "ended" };
            assert!(fault.to_string().starts_with(&format!("the ending task {verb},")));
        }
    }

    #[tokio::test]
    async fn the_first_part_that_ends_is_reported_unless_it_was_asked_to_end() {
        let supervisor = Supervisor::new();
        supervisor.guard("a stopped part").finish();
        let guard = supervisor.guard("a thread");
        let panicked = thread::spawn(move || {
            let _guard = guard;
            panic!("expected by the test");
        });
        assert!(panicked.join().is_err());
        drop(supervisor.guard("another part"));
        assert_eq!(supervisor.fault().await, Fault { part: "a thread", panicked: true });
    }
}
