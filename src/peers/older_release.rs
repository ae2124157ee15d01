//! Messages of instances of the release before the last one. They do not contain the identity of the database, and use
//! one channel for all epochs. Such instances run only while a new release is rolled out. Remove this file with the
//! next release.
//!
//! While such an instance is connected:
//! - Rows are fresh for one second only, because such an instance announces nothing while it knows no peers.
//! - The rows that it announces are read again from the database, because another deployment may use the same channel.
//! - It does not receive what this instance announces. Therefore this instance notes in the database that it cannot
//!   announce (table `silences`).

use super::message::{Message, decode_message};

/// The version of their message format.
const FORMAT: u8 = 2;

/// The name of their channel, without the prefix of Redis keys.
pub(super) const CHANNEL: &str = "changes";

/// Decodes a message; `None` if it has another format.
pub(super) fn decode(bytes: &[u8]) -> Option<Message<'_>> {
    let (&format, rest) = bytes.split_first()?;
    (format == FORMAT).then(|| decode_message(rest))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are those that that release wrote.
    #[test]
    fn a_heartbeat_of_the_older_release_is_decoded() {
        let bytes = [&[2, 0, 16][..], &[7; 16]].concat();
        assert!(
            matches!(decode(&bytes), Some(Message::Heartbeat { from }) if from.as_bytes() == &[7; 16])
        );
        assert!(decode(&[&[3, 0, 16][..], &[7; 16]].concat()).is_none());
    }
}
