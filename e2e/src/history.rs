//! Judges what a writer wrote down: how long it could not write, and what was acknowledged and is gone.

use crate::log::{self, Attempt, Micros, Outcome};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// What one writer saw, in order.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub(crate) attempts: Vec<Attempt>,
}

/// The longest time without an acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// The last acknowledgement before, or the beginning of the time that was asked about.
    pub from: Micros,
    /// The first acknowledgement after, or the end of the time that was asked about.
    pub to: Micros,
}

/// What became of the values of one writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Acknowledged values.
    pub acknowledged: usize,
    /// Acknowledged values that the master does not have.
    pub lost: Vec<u64>,
    /// Values that the master has more than once, though each was sent once.
    pub doubled: Vec<u64>,
    /// Values that the master has and that were never sent.
    pub foreign: Vec<String>,
}

impl Gap {
    /// How long.
    pub fn length(&self) -> Duration {
        Duration::from_micros(self.to.saturating_sub(self.from))
    }
}

impl History {
    /// Reads a writer's log.
    pub fn read(file: &Path) -> Result<Self> {
        Ok(Self {
            attempts: log::read(file)?,
        })
    }

    /// Acknowledged attempts in order.
    pub fn acknowledged(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts
            .iter()
            .filter(|attempt| attempt.outcome == Outcome::Acknowledged)
    }

    /// The first acknowledgement of a write that was begun after `moment`.
    pub fn first_after(&self, moment: Micros) -> Option<&Attempt> {
        self.acknowledged().find(|attempt| attempt.sent > moment)
    }

    /// The longest time without an acknowledgement between two moments. Nothing acknowledged at all is one long gap.
    pub fn gap(&self, from: Micros, to: Micros) -> Gap {
        let inside = self
            .acknowledged()
            .map(|attempt| attempt.at)
            .filter(|at| *at > from && *at < to);
        let mut last = from;
        let mut longest = Gap { from, to: from };
        for at in inside.chain([to]) {
            let gap = Gap { from: last, to: at };
            if gap.length() > longest.length() {
                longest = gap;
            }
            last = at;
        }
        longest
    }

    /// Compares with what the master has in the list, once everybody has rejoined.
    pub fn balance(&self, present: &[String]) -> Balance {
        let sent: BTreeSet<u64> = self.attempts.iter().map(|attempt| attempt.seq).collect();
        let mut times: BTreeMap<u64, u32> = BTreeMap::new();
        let mut foreign = Vec::new();
        for value in present {
            match value.parse::<u64>().ok().filter(|seq| sent.contains(seq)) {
                Some(seq) => *times.entry(seq).or_default() += 1,
                None => foreign.push(value.clone()),
            }
        }
        let acknowledged: Vec<u64> = self.acknowledged().map(|attempt| attempt.seq).collect();
        Balance {
            acknowledged: acknowledged.len(),
            lost: acknowledged
                .into_iter()
                .filter(|seq| !times.contains_key(seq))
                .collect(),
            doubled: times.iter().filter(|(_, n)| **n > 1).map(|(seq, _)| *seq).collect(),
            foreign,
        }
    }

    /// How often each kind of error came, and WAIT with too few replicas.
    pub fn troubles(&self) -> BTreeMap<String, usize> {
        self.troubles_since(0)
    }

    /// The same of attempts that were begun after a moment.
    pub fn troubles_since(&self, moment: Micros) -> BTreeMap<String, usize> {
        let mut troubles = BTreeMap::new();
        for attempt in self.attempts.iter().filter(|attempt| attempt.sent > moment) {
            let kind = match &attempt.outcome {
                Outcome::Acknowledged => continue,
                Outcome::Unconfirmed { replicas } => format!("WAIT {replicas}"),
                Outcome::Failed { kind } => kind.clone(),
            };
            *troubles.entry(kind).or_default() += 1;
        }
        troubles
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn ms(n: u64) -> Micros {
        n * 1000
    }

    pub(crate) fn attempt(seq: u64, at: u64, server: &str, outcome: Outcome) -> Attempt {
        Attempt {
            seq,
            sent: ms(at) - 500,
            at: ms(at),
            server: Some(server.to_owned()),
            outcome,
        }
    }

    /// Acknowledged writes by one server, one each 5 ms.
    pub(crate) fn reign(server: &str, from: u64, to: u64) -> Vec<Attempt> {
        (from..to)
            .step_by(5)
            .map(|at| attempt(at, at, server, Outcome::Acknowledged))
            .collect()
    }

    pub(crate) fn history(parts: Vec<Vec<Attempt>>) -> History {
        History {
            attempts: parts.concat(),
        }
    }

    #[test]
    fn a_missing_acknowledged_value_is_a_loss() {
        let failed = Outcome::Failed {
            kind: "reset".to_owned(),
        };
        let history = history(vec![
            vec![
                attempt(1, 10, "a", Outcome::Acknowledged),
                attempt(2, 15, "a", Outcome::Acknowledged),
            ],
            vec![
                attempt(3, 20, "a", failed),
                attempt(4, 30, "b", Outcome::Unconfirmed { replicas: 0 }),
            ],
            vec![attempt(5, 40, "b", Outcome::Acknowledged)],
        ]);
        let present = |seqs: &[&str]| seqs.iter().map(|seq| (*seq).to_owned()).collect::<Vec<_>>();
        assert_eq!(history.balance(&present(&["1", "5"])).lost, [2]);
        assert_eq!(history.balance(&present(&[])).lost, [1, 2, 5]);
        let whole = history.balance(&present(&["1", "2", "3", "5"]));
        assert_eq!((whole.acknowledged, whole.lost.len(), whole.doubled.len()), (3, 0, 0));
        let odd = history.balance(&present(&["1", "2", "2", "5", "9", "x"]));
        assert_eq!(
            (odd.doubled, odd.foreign),
            (vec![2], vec!["9".to_owned(), "x".to_owned()])
        );
        assert_eq!(
            history.troubles().into_iter().collect::<Vec<_>>(),
            [("WAIT 0".to_owned(), 1), ("reset".to_owned(), 1)]
        );
        assert_eq!(
            history.troubles_since(ms(20)).into_keys().collect::<Vec<_>>(),
            ["WAIT 0"]
        );
    }

    #[test]
    fn the_gap_is_the_longest_pause() {
        let history = history(vec![reign("a", 100, 200), reign("b", 400, 500)]);
        let gap = history.gap(ms(100), ms(500));
        assert_eq!((gap.from, gap.to), (ms(195), ms(400)));
    }

    #[test]
    fn a_writer_that_never_recovers_has_a_gap_to_the_end() {
        let history = history(vec![reign("a", 100, 200)]);
        assert_eq!(history.gap(ms(100), ms(9_000)).length(), Duration::from_millis(8_805));
        assert_eq!(
            History::default().gap(ms(100), ms(300)).length(),
            Duration::from_millis(200)
        );
    }
}
