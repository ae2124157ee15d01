//! Answering a request that no route has seen.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

use super::problem::Problem;

/// An answer that is given in place of the routes'. Given at once, a client would lose its connection for the sake of a body
/// that nobody has read, and come back with a new one: in the meantime the server takes in what came along with the head.
pub struct Refusal {
    /// Taken when it is given.
    answer: Option<ServiceResponse>,
    body_awaited: bool,
}

impl Refusal {
    pub fn new(answer: ServiceResponse) -> Self {
        let headers = answer.request().headers();
        let body_awaited =
            headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
        Self { answer: Some(answer), body_awaited }
    }
}

impl Future for Refusal {
    type Output = Result<ServiceResponse, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if mem::take(&mut self.body_awaited) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.answer.take().ok_or_else(|| Problem::internal("answered twice").into()))
    }
}
