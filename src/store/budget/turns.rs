//! The order in which callers get connections while the number of connections is limited.

use super::Budget;
use super::rules::Purpose;

/// The callers at the head of the queue of their purpose, in the order in which they arrived.
#[derive(Debug, Default)]
pub(super) struct Queue {
    callers: Vec<Caller>,
    next_ticket: u64,
}

#[derive(Clone, Copy, Debug)]
struct Caller {
    ticket: u64,
    purpose: Purpose,
    opening: bool,
}

impl Queue {
    /// The purposes of callers that arrived before the one with this ticket and still wait. A caller that is opening a
    /// connection does not count.
    pub(super) fn before(&self, ticket: u64) -> Vec<Purpose> {
        let before = self.callers.iter().filter(|it| it.ticket < ticket && !it.opening);
        before.map(|it| it.purpose).collect()
    }

    /// How many connections are being opened, by [`Purpose::index`].
    pub(super) fn opening(&self) -> [usize; Purpose::COUNT] {
        let mut counts = [0; Purpose::COUNT];
        for caller in self.callers.iter().filter(|it| it.opening) {
            counts[caller.purpose.index()] += 1;
        }
        counts
    }

    /// Notes whether a caller is opening a connection.
    pub(super) fn set_opening(&mut self, ticket: u64, opening: bool) {
        if let Some(caller) = self.callers.iter_mut().find(|it| it.ticket == ticket) {
            caller.opening = opening;
        }
    }
}

/// A caller's place in the queue, until it is dropped.
pub(super) struct Waiting<'a> {
    budget: &'a Budget,
    pub(super) ticket: u64,
}

impl<'a> Waiting<'a> {
    pub(super) fn begin(budget: &'a Budget, purpose: Purpose) -> Self {
        let queue = &mut budget.state().queue;
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.callers.push(Caller { ticket, purpose, opening: false });
        Self { budget, ticket }
    }

    /// Notes that the caller could not open a connection and waits again.
    pub(super) fn end_opening(&self) {
        self.budget.state().queue.set_opening(self.ticket, false);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.budget.state().queue.callers.retain(|it| it.ticket != self.ticket);
        // Later callers may have waited only because this one was before them.
        self.budget.returned();
    }
}
