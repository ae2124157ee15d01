//! The frames that wait to be sent on one connection, counted in bytes.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A connection on which more bytes wait is closed.
pub const MAX_WAITING_BYTES: usize = 256 * 1024;
/// How many frames one system call writes.
const MOST_SLICES: usize = 64;

/// The frames that wait, oldest first.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Whether a part of the first frame was written.
    is_begun: bool,
}

impl Outbox {
    /// Adds a frame. Returns false, and adds nothing, if too many bytes would wait. If nothing waits, any frame is added.
    pub fn push(&mut self, frame: Bytes) -> bool {
        if self.bytes > 0 && self.bytes + frame.len() > MAX_WAITING_BYTES {
            return false;
        }
        self.push_anyway(frame);
        true
    }

    fn push_anyway(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Drops all frames except one of which a part was written, and adds a last one.
    pub fn end_with(&mut self, frame: Bytes) {
        self.frames.truncate(usize::from(self.is_begun));
        self.bytes = self.frames.iter().map(Bytes::len).sum();
        self.push_anyway(frame);
    }

    /// The number of bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What the next system call writes.
    pub fn slices<'a>(&'a self, into: &mut Vec<IoSlice<'a>>) {
        into.extend(self.frames.iter().take(MOST_SLICES).map(|frame| IoSlice::new(frame)));
    }

    /// Removes bytes that were written.
    pub fn written(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.frames.front_mut() {
            if count < first.len() {
                first.advance(count);
                self.is_begun = self.is_begun || count > 0;
                return;
            }
            count -= first.len();
            self.frames.pop_front();
            self.is_begun = false;
        }
        // Frees the memory of idle connections.
        self.frames = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(outbox: &Outbox) -> Vec<u8> {
        let mut slices = Vec::new();
        outbox.slices(&mut slices);
        slices.iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    #[test]
    fn bytes_are_sent_in_order_and_counted() {
        let mut outbox = Outbox::default();
        for text in ["one", "two", "three"] {
            assert!(outbox.push(Bytes::from_static(text.as_bytes())));
        }
        assert_eq!((waiting(&outbox).as_slice(), outbox.bytes()), (&b"onetwothree"[..], 11));
        outbox.written(4);
        assert_eq!((waiting(&outbox).as_slice(), outbox.bytes()), (&b"wothree"[..], 7));
        outbox.written(2);
        assert_eq!(waiting(&outbox), b"three");
        outbox.written(5);
        assert!(outbox.is_empty() && outbox.bytes() == 0);
        assert_eq!(outbox.frames.capacity(), 0);
    }

    #[test]
    fn a_frame_that_was_begun_is_sent_whole_before_the_last_one() {
        let frame = |text: &'static str| Bytes::from_static(text.as_bytes());
        let mut outbox = Outbox::default();
        outbox.push(frame("one"));
        outbox.push(frame("two"));
        outbox.written(1);
        outbox.end_with(frame("close"));
        assert_eq!((waiting(&outbox).as_slice(), outbox.bytes()), (&b"neclose"[..], 7));
        let mut outbox = Outbox::default();
        outbox.push(frame("one"));
        outbox.push(frame("two"));
        outbox.written(3);
        outbox.end_with(frame("close"));
        assert_eq!(waiting(&outbox), b"close");
    }

    #[test]
    fn the_bytes_that_wait_are_bounded() {
        let mut outbox = Outbox::default();
        let frame = Bytes::from(vec![0; 16 * 1024]);
        let added = (0..100).take_while(|_| outbox.push(frame.clone())).count();
        assert_eq!(added, MAX_WAITING_BYTES / frame.len());
        assert_eq!(outbox.bytes(), MAX_WAITING_BYTES);
    }
}
