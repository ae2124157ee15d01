//! Sending answers from a lane to the threads that wait for them.
//!
//! Waking a task of another thread costs a system call, and a batch answers dozens of requests. Therefore each thread
//! that serves many requests runs one task, which receives the answers for all of them. It wakes the waiting tasks from
//! their own thread, which costs no system call.

use std::cell::RefCell;

use tokio::sync::{mpsc, oneshot};

/// Sends an answer to the task that waits for it. Runs on the thread of that task.
type Delivery = Box<dyn FnOnce() + Send>;

/// The maximum number of deliveries that are received together.
const MAX_DELIVERIES: usize = 64;

thread_local! {
    /// The channel for deliveries to this thread. If there is none, each waiting task is woken separately.
    static MAILBOX: RefCell<Option<mpsc::UnboundedSender<Delivery>>> = const { RefCell::new(None) };
}

/// Receives the answers to the requests that this thread sends from now on. Run it on this thread as long as the thread
/// sends requests.
pub fn deliver() -> impl Future<Output = ()> {
    let (mailbox, mut deliveries) = mpsc::unbounded_channel::<Delivery>();
    MAILBOX.set(Some(mailbox));
    async move {
        let mut taken = Vec::with_capacity(MAX_DELIVERIES);
        while deliveries.recv_many(&mut taken, MAX_DELIVERIES).await > 0 {
            for deliver in taken.drain(..) {
                deliver();
            }
        }
    }
}

/// The destination of the answer to one request.
pub(super) struct Reply<T> {
    waiting: oneshot::Sender<T>,
    mailbox: Option<mpsc::UnboundedSender<Delivery>>,
}

impl<T: Send + 'static> Reply<T> {
    /// A reply to a request of this thread, and the receiver of the answer.
    pub(super) fn new() -> (Self, oneshot::Receiver<T>) {
        let (waiting, answer) = oneshot::channel();
        (Self { waiting, mailbox: MAILBOX.with_borrow(Clone::clone) }, answer)
    }

    /// Sends the answer.
    pub(super) fn send(self, answer: T) {
        let Self { waiting, mailbox } = self;
        let deliver = move || {
            // The client may have closed its connection. The change is committed in any case.
            if waiting.send(answer).is_err() {
                tracing::debug!("no request waits for this answer any more");
            }
        };
        match mailbox {
            // If the task of that thread has ended, the waiting request is woken directly.
            Some(mailbox) => {
                if let Err(returned) = mailbox.send(Box::new(deliver)) {
                    (returned.0)();
                }
            }
            None => deliver(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn answer_from_another_thread(reply: Reply<u32>) -> thread::JoinHandle<()> {
        thread::spawn(move || reply.send(7))
    }

    #[tokio::test]
    async fn an_answer_arrives_with_and_without_a_mailbox() {
        let (reply, answer) = Reply::new();
        answer_from_another_thread(reply);
        assert_eq!(answer.await, Ok(7));
        let delivering = tokio::spawn(deliver());
        let (reply, answer) = Reply::new();
        assert!(reply.mailbox.is_some());
        answer_from_another_thread(reply);
        assert_eq!(answer.await, Ok(7));
        // The task that empties the mailbox has ended.
        let (reply, answer) = Reply::new();
        delivering.abort();
        assert!(delivering.await.is_err());
        answer_from_another_thread(reply);
        assert_eq!(answer.await, Ok(7));
    }
}
