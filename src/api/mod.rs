//! The contract of the API that does not depend on a transport: the JSON shapes of requests and answers, and the problems
//! that are answered instead of a result.

pub mod problem;
pub mod wire;
