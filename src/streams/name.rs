//! Names of streams.

use std::fmt;

use uuid::Uuid;

/// A stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamName {
    /// What concerns one player, which only that player may read.
    Player(Uuid),
    /// What concerns everybody.
    Announcements,
}

impl StreamName {
    /// Whether a player may read the stream.
    pub fn is_readable_by(self, reader: Uuid) -> bool {
        match self {
            Self::Player(player) => player == reader,
            Self::Announcements => true,
        }
    }

    /// The stream with this name; `None` if no stream can have it.
    pub fn parse(name: &str) -> Option<Self> {
        if name == "announcements" {
            return Some(Self::Announcements);
        }
        let id = name.strip_prefix("player:")?;
        let player = Uuid::try_parse(id).ok().map(Self::Player)?;
        // Only the usual form, so that each stream has one name.
        (player.to_string() == name).then_some(player)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Player(player) => write!(f, "player:{player}"),
            Self::Announcements => f.write_str("announcements"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_form_of_a_name_is_parsed() {
        let player = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        for stream in [StreamName::Player(player), StreamName::Announcements] {
            assert_eq!(StreamName::parse(&stream.to_string()), Some(stream));
        }
        for other in [
            "",
            "player",
            "player:",
            "Announcements",
            "announcements ",
            "player:0123456789abcdef0123456789abcdef",
            "player:01234567-89AB-CDEF-0123-456789ABCDEF",
            "chat:global-en",
        ] {
            assert_eq!(StreamName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_player_reads_its_own_stream_and_announcements() {
        let [own, other] = [1, 2].map(Uuid::from_u128);
        assert!(StreamName::Player(own).is_readable_by(own));
        assert!(!StreamName::Player(other).is_readable_by(own));
        assert!(StreamName::Announcements.is_readable_by(own));
    }
}
