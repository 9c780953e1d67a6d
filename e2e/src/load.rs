//! Much data, and a steady stream of writes to it.

use crate::pod::address;
use crate::resp::{Connection, Trouble};
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use std::time::Duration;

/// Bytes of each value.
const VALUE: usize = 100_000;
/// What could not be written this long ago is not made up for: a client that was held up does not come back with a flood.
const DEBT: Duration = Duration::from_millis(100);

/// How much data, and how fast it is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Load {
    /// Values of 100 kB.
    #[arg(long)]
    pub keys: u64,
    /// Megabytes per second.
    #[arg(long)]
    pub rate: u64,
}

/// Values that do not compress.
pub struct Values(String);

impl Default for Values {
    fn default() -> Self {
        let alphabet: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let text = (0..VALUE.saturating_mul(2)).filter_map(|_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let length = u64::try_from(alphabet.len()).ok()?;
            let chosen = usize::try_from((state >> 32).checked_rem(length)?).ok()?;
            alphabet.get(chosen).copied()
        });
        Self(text.collect())
    }
}

impl Values {
    /// One of many.
    fn nth(&self, number: u64) -> &str {
        let many = u64::try_from(VALUE).unwrap_or(u64::MAX);
        let from = number.wrapping_mul(7919).checked_rem(many).unwrap_or_default();
        let from = usize::try_from(from).unwrap_or_default();
        self.0.get(from..from.saturating_add(VALUE)).unwrap_or_default()
    }
}

impl Load {
    /// Writes every key once, straight to this pod.
    pub fn fill(self, master: &Pod) -> Result<()> {
        let values = Values::default();
        let mut connection = Connection::open(address(master)?, None)?;
        for number in 0..self.keys {
            let filled = self.set(&mut connection, &values, number);
            filled.with_context(|| format!("value {number} of {}", self.keys))?;
        }
        Ok(())
    }

    /// Overwrites one of the keys; numbers go round.
    fn set(self, connection: &mut Connection, values: &Values, number: u64) -> Result<(), Trouble> {
        let key = format!("bulk:{}", number.checked_rem(self.keys).unwrap_or_default());
        connection.call(&["SET", &key, values.nth(number)]).map(drop)
    }
}

/// Overwrites at the rate of a load.
pub struct Stream {
    load: Load,
    values: Values,
    number: u64,
    /// In bytes.
    sent: u64,
}

impl Stream {
    /// Has written nothing yet.
    pub fn new(load: Load) -> Self {
        Self {
            load,
            values: Values::default(),
            number: 0,
            sent: 0,
        }
    }

    /// Writes what is due this long after the beginning.
    pub fn go_on(&mut self, connection: &mut Connection, elapsed: Duration) -> Result<(), Trouble> {
        let due = bytes(self.load.rate, elapsed);
        self.sent = self.sent.max(due.saturating_sub(bytes(self.load.rate, DEBT)));
        while self.sent < due {
            self.load.set(connection, &self.values, self.number)?;
            self.number = self.number.wrapping_add(1);
            self.sent = self.sent.saturating_add(u64::try_from(VALUE).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

/// Megabytes per second are bytes per microsecond.
fn bytes(rate: u64, time: Duration) -> u64 {
    rate.saturating_mul(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn values_are_large_and_differ() {
        let values = Values::default();
        let some: BTreeSet<_> = (0..1000).map(|number| values.nth(number)).collect();
        assert_eq!(some.len(), 1000);
        assert!(some.iter().all(|value| value.len() == VALUE));
    }

    #[test]
    fn a_rate_is_bytes_by_time() {
        assert_eq!(bytes(20, Duration::from_secs(1)), 20_000_000);
    }
}
