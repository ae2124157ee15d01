//! Cached rendered responses, entity tags, and cursors of lists.

pub mod catalogue;
pub mod cursor;
pub mod etag;
pub mod rankings;
pub mod ready;
