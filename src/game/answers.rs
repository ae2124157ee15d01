//! How answers come back to the threads that wait for them.
//!
//! To wake a request on another thread takes a system call, and a batch answers dozens. A thread that serves many requests
//! therefore has one task that takes in the answers of all, and wakes their requests from where that costs nothing.

use std::cell::RefCell;

use tokio::sync::{mpsc, oneshot};

use super::Error;
use super::request::Answer;

type Answered = Result<Answer, Error>;
type Delivery = (oneshot::Sender<Answered>, Answered);

/// Deliveries that a thread takes in at once.
const AT_ONCE: usize = 64;

thread_local! {
    /// Where this thread's deliveries go; none where each request is woken by itself.
    static MAILBOX: RefCell<Option<mpsc::UnboundedSender<Delivery>>> = const { RefCell::new(None) };
}

/// Takes in the answers of the requests that this thread makes from now on. To be run on this thread for as long as it
/// makes any.
pub fn deliver() -> impl Future<Output = ()> {
    let (mailbox, mut deliveries) = mpsc::unbounded_channel();
    MAILBOX.set(Some(mailbox));
    async move {
        let mut taken = Vec::with_capacity(AT_ONCE);
        while deliveries.recv_many(&mut taken, AT_ONCE).await > 0 {
            for (waiting, answer) in taken.drain(..) {
                hand_over(waiting, answer);
            }
        }
    }
}

/// Where one request is answered.
pub(super) struct Reply {
    waiting: oneshot::Sender<Answered>,
    mailbox: Option<mpsc::UnboundedSender<Delivery>>,
}

impl Reply {
    /// For a request of this thread, and where it waits.
    pub(super) fn new() -> (Self, oneshot::Receiver<Answered>) {
        let (waiting, answer) = oneshot::channel();
        (Self { waiting, mailbox: MAILBOX.with_borrow(Clone::clone) }, answer)
    }

    /// Answers it.
    pub(super) fn send(self, answer: Answered) {
        let delivery = (self.waiting, answer);
        let returned = match self.mailbox {
            Some(mailbox) => mailbox.send(delivery).err().map(|returned| returned.0),
            None => Some(delivery),
        };
        // The thread may have ended what it serves; a request that still waits is woken by itself.
        if let Some((waiting, answer)) = returned {
            hand_over(waiting, answer);
        }
    }
}

fn hand_over(waiting: oneshot::Sender<Answered>, answer: Answered) {
    // Whoever asked may have hung up; what is written stays written.
    if waiting.send(answer).is_err() {
        tracing::debug!("an answer came too late for its request");
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn answered(reply: Reply) -> thread::JoinHandle<()> {
        thread::spawn(move || reply.send(Err(Error::Banned)))
    }

    #[tokio::test]
    async fn an_answer_comes_through_the_mailbox_and_without_one() {
        let (reply, answer) = Reply::new();
        answered(reply);
        assert!(matches!(answer.await, Ok(Err(Error::Banned))));
        let delivering = tokio::spawn(deliver());
        let (reply, answer) = Reply::new();
        assert!(reply.mailbox.is_some());
        answered(reply);
        assert!(matches!(answer.await, Ok(Err(Error::Banned))));
        // Of a mailbox that nobody empties any more nothing is lost.
        let (reply, answer) = Reply::new();
        delivering.abort();
        assert!(delivering.await.is_err());
        answered(reply);
        assert!(matches!(answer.await, Ok(Err(Error::Banned))));
    }
}
