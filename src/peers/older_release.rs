//! Instances of the release before the last, whose messages do not contain the identity of the database and which use one
//! channel for all epochs. They exist while a new release is rolled out. Remove this file with the next release.
//!
//! While they are connected, rows are fresh for one second only, because such an instance announces nothing while it believes
//! that it has no peers. The rows that they announce are read again from the database, because another deployment may use the
//! same channel. They do not receive what this instance announces, so it notes in the database that it cannot announce
//! (table `silences`).

use super::message::{Message, decode_message};

/// The number of their form.
const FORMAT: u8 = 2;

/// Their channel, after the prefix of the keys.
pub(super) const CHANNEL: &str = "changes";

/// Decodes a message; `None` if it has another format.
pub(super) fn decode(bytes: &[u8]) -> Option<Message<'_>> {
    let (&form, rest) = bytes.split_first()?;
    (form == FORMAT).then(|| decode_message(rest))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As that release wrote them.
    #[test]
    fn a_heartbeat_of_the_previous_release_is_decoded() {
        let bytes = [&[2, 0, 16][..], &[7; 16]].concat();
        assert!(
            matches!(decode(&bytes), Some(Message::Beat { from }) if from.as_bytes() == &[7; 16])
        );
        assert!(decode(&[&[3, 0, 16][..], &[7; 16]].concat()).is_none());
    }
}
