//! Identifies a bucket. A key is small and `Copy`, and creating one allocates no memory.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The owner of a bucket: 128 bits that are unique within a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u128);

/// The prefix length of an IPv6 network that usually belongs to one client.
const V6_CLIENT_PREFIX: u32 = 64;

impl Key {
    /// The bucket of a player.
    pub fn player(player: Uuid) -> Self {
        Self(player.as_u128())
    }

    /// The bucket of an address. All IPv6 addresses of a /64 network share a bucket, because a client can use all of
    /// them. An IPv4-mapped IPv6 address has the bucket of the IPv4 address.
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() & !(u128::MAX >> V6_CLIENT_PREFIX)),
        }
    }

    /// The bucket of a username. The key is a digest, so that usernames do not appear in Redis.
    pub fn username(username: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(username.as_bytes()).into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(half))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn key(text: &str) -> Key {
        Key::address(text.parse().expect("an address"))
    }

    #[test]
    fn addresses_of_one_client_share_a_bucket() {
        assert_eq!(key("2001:db8::1"), key("2001:db8:0:0:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("::1"), key("127.0.0.1"));
    }

    #[test]
    fn unspecified_addresses_of_both_families_differ() {
        assert_ne!(Key::address(Ipv6Addr::UNSPECIFIED.into()), key("0.0.0.0"));
    }

    #[test]
    fn keys_do_not_reveal_usernames() {
        assert_ne!(Key::username("ada"), Key::username("bob"));
        assert!(!Key::username("ada").to_string().contains("ada"));
    }
}
