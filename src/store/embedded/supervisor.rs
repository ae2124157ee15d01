//! The thread that starts, restarts and stops the database's process.
//!
//! On Linux the kernel signals a child process when the thread that started it ends (`PR_SET_PDEATHSIG`). This stops
//! the database if the server is killed. Therefore one thread starts the process, restarts it when it ends
//! unexpectedly, and ends only after the process has ended. All waits are asynchronous, so an order to stop takes
//! effect during `initdb`, start, recovery and the pauses between attempts.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::cluster::Cluster;
use super::orphans::Orphans;
use super::{Error, Settings, io_error};

/// The pause before the first restart. It doubles with each attempt that fails, up to [`MAX_RETRY_PAUSE`].
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(250);
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How long a fast shutdown may take before an immediate one follows. A fast shutdown writes a checkpoint.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long an immediate shutdown may take before the process is killed.
const STOP_NOW_LIMIT: Duration = Duration::from_secs(6);

/// What the supervisor has to do with the process. An order is only ever replaced by a stricter one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Run,
    /// Fast shutdown: the next start needs no recovery.
    Stop,
    /// Immediate shutdown: the next start recovers from the write-ahead log.
    StopNow,
}

struct Supervisor {
    cluster: Cluster,
    orders: watch::Receiver<Order>,
    orphans: Orphans,
}

/// Runs the database in `folder` until `orders` contains an order to stop. Sends the result of the first start to
/// `started`. Returns at once if the first start failed.
pub(super) fn run(
    folder: PathBuf,
    settings: Settings,
    orders: watch::Receiver<Order>,
    started: oneshot::Sender<Result<(), Error>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(io_error("creating a runtime for the database"));
    let found = runtime.and_then(|runtime| Ok((runtime, Cluster::find(folder, settings)?)));
    let (runtime, cluster) = match found {
        Ok(found) => found,
        Err(error) => return drop(started.send(Err(error))),
    };
    runtime.block_on(async {
        let mut supervisor = Supervisor { cluster, orders, orphans: Orphans::listen() };
        match supervisor.start().await {
            Ok(child) => {
                drop(started.send(Ok(())));
                supervisor.keep(child).await;
            }
            Err(error) => drop(started.send(Err(error))),
        }
    });
}

impl Supervisor {
    /// Waits for the process and restarts it whenever it ends, until ordered to stop.
    async fn keep(&mut self, mut child: Child) {
        loop {
            let id = child.id();
            tokio::select! {
                _ = child.wait() => {}
                () = ordered(&mut self.orders, Order::Stop) => return self.end(child).await,
                () = self.orphans.reap_all_but(id) => {}
            }
            tracing::error!("the embedded database ended unexpectedly and is restarted");
            match self.restart().await {
                Some(again) => child = again,
                None => return,
            }
        }
    }

    /// Retries until the database has started. Returns `None` if ordered to stop.
    async fn restart(&mut self) -> Option<Child> {
        let mut pause = FIRST_RETRY_PAUSE;
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = ordered(&mut self.orders, Order::Stop) => return None,
            }
            match self.start().await {
                Ok(child) => return Some(child),
                Err(Error::Stopped) => return None,
                Err(error) => tracing::error!(%error, "the embedded database does not start"),
            }
            pause = (pause * 2).min(MAX_RETRY_PAUSE);
        }
    }

    /// Starts the process and waits until it accepts connections.
    ///
    /// # Errors
    /// Returns why the database cannot start, or [`Error::Stopped`] if ordered to stop.
    async fn start(&mut self) -> Result<Child, Error> {
        tokio::select! {
            prepared = self.cluster.prepare() => prepared?,
            () = ordered(&mut self.orders, Order::Stop) => return Err(Error::Stopped),
        }
        let mut child = self.cluster.spawn()?;
        tokio::select! {
            ready = self.cluster.await_ready(&mut child) => ready.map(|()| child),
            () = ordered(&mut self.orders, Order::Stop) => {
                self.end(child).await;
                Err(Error::Stopped)
            }
        }
    }

    /// Stops the process: first by a fast shutdown; after a time limit or on [`Order::StopNow`] by an immediate
    /// shutdown; then by SIGKILL.
    async fn end(&mut self, mut child: Child) {
        signal(&child, Signal::INT);
        tokio::select! {
            _ = child.wait() => return,
            () = sleep(STOP_LIMIT) => {
                tracing::warn!("the embedded database does not stop in time and is shut down immediately");
            }
            () = ordered(&mut self.orders, Order::StopNow) => {}
        }
        signal(&child, Signal::QUIT);
        if timeout(STOP_NOW_LIMIT, child.wait()).await.is_err() {
            tracing::warn!("the embedded database does not stop and is killed");
            child.kill().await.ok();
        }
    }
}

/// Waits for this order or a stricter one.
async fn ordered(orders: &mut watch::Receiver<Order>, order: Order) {
    if orders.wait_for(|current| *current >= order).await.is_err() {
        // The sender was dropped. It sends `Stop` before that, so only a wait for `StopNow` gets here.
        std::future::pending::<()>().await;
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // An error means that the process has just ended.
        kill_process(pid, signal).ok();
    }
}
