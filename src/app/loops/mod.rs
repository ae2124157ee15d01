//! Tasks that run as long as the server runs.

mod housekeeping;
mod pulse;
mod rankings;
mod streams;
mod unread;
mod writes;

use std::sync::Arc;

pub(super) use pulse::NO_EPOCH;

use crate::app::Server;
use crate::supervisor::Task;

impl Server {
    /// Starts the poller, the housekeeping, the check whether the database accepts writes, the
    /// streams of events, and the maintenance of the rankings. They end when the returned tasks are dropped. If one ends
    /// by itself, the supervisor is notified.
    pub fn start_loops(self: &Arc<Self>) -> Vec<Task> {
        let server = || Arc::clone(self);
        let mut tasks = vec![
            self.supervisor.spawn("the poller", {
                let server = server();
                async move { server.run_poller().await }
            }),
            self.supervisor.spawn("the housekeeping", {
                let server = server();
                async move { server.run_housekeeping().await }
            }),
            self.supervisor.spawn("the check for writes", {
                let server = server();
                async move { server.watch_writes().await }
            }),
            self.supervisor.spawn("the streams of events", {
                let server = server();
                async move { server.run_streams().await }
            }),
        ];
        if self.role.answers() {
            let server = server();
            let clock = async move { server.live.run_clock().await };
            tasks.push(self.supervisor.spawn("the clock of sockets", clock));
        }
        if self.role.answers() || self.redis.is_some() {
            let server = server();
            let rankings = async move { server.run_rankings().await };
            tasks.push(self.supervisor.spawn("the maintenance of the rankings", rankings));
        }
        tasks
    }
}
