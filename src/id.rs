//! Generates ids.

use uuid::Uuid;

use crate::domain::Timestamp;

/// A new id that sorts by its creation time: a UUID of version 7 (RFC 9562).
pub fn new_id(now: Timestamp) -> Uuid {
    let micros = now.as_micros().unsigned_abs();
    let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1000;
    let time = uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos);
    Uuid::new_v7(time)
}

/// A new random id. Unlike [`new_id`], processes that start at the same moment never get the same one.
pub fn random_id() -> Uuid {
    Uuid::from_u128(rand::random())
}
