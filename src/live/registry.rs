//! The connections of this instance: how many there are, by address and by player.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::mailbox::Mailbox;

/// The largest number of connections of a player.
pub const MOST_OF_PLAYER: usize = 10;

/// Counts connections.
#[derive(Default)]
pub struct Registry {
    next_number: AtomicU64,
    open: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    by_player: Mutex<HashMap<Uuid, VecDeque<Entry>>>,
    /// Bytes that wait to be sent, on all connections.
    waiting_bytes: AtomicUsize,
}

/// A connection of a player.
struct Entry {
    number: u64,
    mailbox: Arc<Mailbox>,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The instance has as many connections as it may have.
    Instance,
    /// The address has as many connections as it may have.
    Address,
}

/// The place of a connection, which is free again when this is dropped.
pub struct Place {
    registry: Arc<Registry>,
    address: IpAddr,
    number: u64,
}

impl Place {
    /// The number of the connection.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.open.fetch_sub(1, Ordering::Relaxed);
        let mut by_address = lock(&self.registry.by_address);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

impl Registry {
    /// Takes a place for a connection.
    pub fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        most: usize,
        most_of_address: usize,
    ) -> Result<Place, Full> {
        let address = address.to_canonical();
        let mut by_address = lock(&self.by_address);
        // Changes only while the map is locked, except for falling.
        if self.open.load(Ordering::Relaxed) >= most {
            return Err(Full::Instance);
        }
        let count = by_address.entry(address).or_insert(0);
        if *count >= most_of_address {
            return Err(Full::Address);
        }
        *count += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        drop(by_address);
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        Ok(Place { registry: Arc::clone(self), address, number })
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Notes that a connection belongs to a player. If the player has too many, the oldest one is closed.
    pub fn sign_in(&self, player: Uuid, number: u64, mailbox: &Arc<Mailbox>) {
        let mut by_player = lock(&self.by_player);
        let entries = by_player.entry(player).or_default();
        entries.push_back(Entry { number, mailbox: Arc::clone(mailbox) });
        let oldest = if entries.len() > MOST_OF_PLAYER { entries.pop_front() } else { None };
        drop(by_player);
        if let Some(oldest) = oldest {
            oldest.mailbox.replace(oldest.number);
        }
    }

    /// Ends what [`Registry::sign_in`] began.
    pub fn sign_out(&self, player: Uuid, number: u64) {
        let mut by_player = lock(&self.by_player);
        let Some(entries) = by_player.get_mut(&player) else { return };
        entries.retain(|entry| entry.number != number);
        if entries.is_empty() {
            by_player.remove(&player);
        }
    }

    /// Notes that more bytes wait to be sent. Returns how many wait now.
    pub fn add_waiting(&self, bytes: usize) -> usize {
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// Notes that bytes were sent or dropped.
    pub fn remove_waiting(&self, bytes: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn connections_are_limited_by_instance_and_address() {
        let registry = Arc::new(Registry::default());
        let admit = |last| registry.admit(address(last), 3, 2);
        let (first, second) = (admit(1).ok(), admit(1).ok());
        assert!(first.is_some() && second.is_some());
        assert_eq!(admit(1).err(), Some(Full::Address));
        // The same address as IPv6.
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        assert_eq!(registry.admit(mapped.into(), 3, 2).err(), Some(Full::Address));
        let other = admit(2).ok();
        assert_eq!(admit(3).err(), Some(Full::Instance));
        drop(first);
        assert_eq!(registry.open(), 2);
        assert!(admit(1).is_ok());
        drop((second, other));
        assert_eq!(registry.open(), 0);
        assert!(lock(&registry.by_address).is_empty());
    }

    #[test]
    fn the_oldest_connection_of_a_player_makes_room() {
        let registry = Arc::new(Registry::default());
        let (player, mailbox) = (Uuid::from_u128(1), Arc::new(Mailbox::default()));
        for number in 0..12 {
            registry.sign_in(player, number, &mailbox);
        }
        assert_eq!(mailbox.take().replaced, [0, 1]);
        registry.sign_out(player, 5);
        registry.sign_in(player, 12, &mailbox);
        assert!(mailbox.take().replaced.is_empty());
        for number in 0..13 {
            registry.sign_out(player, number);
        }
        assert!(lock(&registry.by_player).is_empty());
    }
}
