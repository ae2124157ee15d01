//! Tasks that read signals, follow streams, and give the entries of the outbox their places in streams.

use crate::app::Server;
use crate::signals::Signal;

impl Server {
    /// Tells the other instances at once of revocations and catalogues that this one has made. Never returns.
    async fn signal_changes(&self) {
        loop {
            tokio::select! {
                () = self.accounts.revocations().made() => {}
                () = self.catalogues.replaced() => {}
            }
            self.signals.announce(Signal::poll());
        }
    }

    /// Reads signals and new events, and empties the outbox. Never returns.
    pub async fn run_streams(&self) {
        tokio::join!(
            self.signals.read_forever(),
            self.streams.follow_forever(),
            self.notifications.run_inbox(),
            self.signal_changes(),
        );
    }
}
