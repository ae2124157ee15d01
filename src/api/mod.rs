//! The contract of the API, independent of the transport: the JSON of requests and responses, and the problems that the
//! API returns as errors.

pub mod problem;
mod state_page;
pub mod wire;

pub use state_page::StatePage;
