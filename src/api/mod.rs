//! The contract of the API, independent of a transport: the JSON of requests and answers, and the problems that are
//! answered instead of a result.

pub mod problem;
pub mod wire;
