//! Rate limits.

mod bucket;
mod model;
