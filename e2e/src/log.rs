//! What the writer writes down: one JSON line per attempt, one `write` call per line, so that whatever ends it, no
//! acknowledgement that it had noted is missing.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970. Within one process it is monotonic; processes of one machine share it as far as nobody
/// sets the clock.
pub type Micros = u64;

/// A monotonic clock that shows [`Micros`]: the wall clock is read once, at the start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Micros,
    begun: Instant,
}

/// One attempt to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The value; every attempt has its own.
    pub seq: u64,
    /// When it was begun.
    pub sent: Micros,
    /// When its end was known.
    pub at: Micros,
    /// `run_id` of the server; none if no connection came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The server has taken it, and as many replicas as the writer waits for.
    Acknowledged,
    /// The server has taken it, but too few replicas confirmed it in time.
    Unconfirmed {
        /// How many did.
        replicas: i64,
    },
    /// An error; whether the server has taken it is not known.
    Failed {
        /// Its kind, such as `READONLY`, `refused`, `timeout`.
        kind: String,
    },
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            wall: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX),
            begun: Instant::now(),
        }
    }

    /// Now.
    pub fn now(&self) -> Micros {
        let passed = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.wall.saturating_add(passed)
    }
}

/// Now, on the wall clock.
pub fn now() -> Micros {
    Clock::start().now()
}

/// Reads a log back. A last line without its end is one that the writer was killed over, and is left out; anything
/// else that cannot be read is an error, for a log with holes proves nothing.
pub fn read(file: &Path) -> Result<Vec<Attempt>> {
    let text = fs::read_to_string(file).with_context(|| format!("the writer's log {}", file.display()))?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("a line of {}: {line}", file.display())))
        .collect()
}
