//! Middleware: request ids, logs and metrics; CORS; rate limits; load shedding; panics.

pub mod cors;
pub mod limits;
pub mod panics;
pub mod request_context;
pub mod shed;
