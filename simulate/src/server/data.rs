//! What a server holds, and the stream that carries it.

use std::collections::VecDeque;

/// A set of writes, by number. Every write is a key of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    bits: Vec<u64>,
    keys: u64,
}

impl Data {
    /// Takes a write.
    pub fn insert(&mut self, n: u32) {
        let (word, bit) = ((n / 64) as usize, 1 << (n % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if self.bits[word] & bit == 0 {
            self.bits[word] |= bit;
            self.keys += 1;
        }
    }

    /// Whether it has a write.
    pub fn has(&self, n: u32) -> bool {
        let word = (n / 64) as usize;
        self.bits.get(word).is_some_and(|bits| bits & (1 << (n % 64)) != 0)
    }

    /// How many writes it has.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Nothing any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// One command of the replication stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// `SELECT 0`: before the first write since a role changed or a replica came.
    Select,
    /// `PING`, once a second.
    Ping,
    /// `SET k000001 v`.
    Write(u32),
    /// `REPLCONF GETACK *`.
    GetAck,
}

impl Item {
    /// Bytes in the stream.
    pub fn size(self) -> u64 {
        match self {
            Self::Select => 23,
            Self::Ping => 14,
            Self::Write(_) => 33,
            Self::GetAck => 37,
        }
    }
}

/// The last part of the stream, for partial resyncs.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// The first byte that is there.
    start: u64,
    end: u64,
    items: VecDeque<(u64, Item)>,
    capacity: u64,
}

impl Backlog {
    /// Begins after this offset.
    pub fn new(offset: u64, capacity: u64) -> Self {
        Self {
            start: offset + 1,
            end: offset,
            items: VecDeque::new(),
            capacity,
        }
    }

    /// Takes a command that ends at an offset.
    pub fn push(&mut self, end: u64, item: Item) {
        self.items.push_back((end, item));
        self.end = end;
        while self.end + 1 - self.start > self.capacity {
            match self.items.pop_front() {
                Some((end, _)) => self.start = end + 1,
                None => break,
            }
        }
    }

    /// What follows an offset, if all of it is there.
    pub fn after(&self, have: u64) -> Option<Vec<(u64, Item)>> {
        if have + 1 < self.start || have > self.end {
            return None;
        }
        Some(self.items.iter().filter(|(end, _)| *end > have).copied().collect())
    }
}
