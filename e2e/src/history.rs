//! Judges what writers wrote down: how long nobody could write, what was acknowledged and is gone, and whether two
//! masters took writes at once.

use crate::log::{self, Attempt, Micros, Outcome};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// A server that acknowledges nothing for this long has stopped being master; if it does so later, that is a new reign.
/// No failover there and back is as short.
const REIGN_PAUSE: Micros = 1_000_000;

/// What one writer saw, in order.
#[derive(Clone, Debug, Default)]
pub struct History {
    attempts: Vec<Attempt>,
}

/// The longest time without an acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// The last acknowledgement before, or the beginning of the time that was asked about.
    pub from: Micros,
    /// The first acknowledgement after, or the end of the time that was asked about.
    pub to: Micros,
}

/// Acknowledgements by one server between those of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoMasters {
    /// `run_id` of the server that reigned.
    pub reigning: String,
    /// `run_id` of the other.
    pub other: String,
    /// The first write that the other took meanwhile.
    pub seq: u64,
    /// When it was acknowledged.
    pub at: Micros,
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

/// Time in which one server certainly was master: from its first acknowledgement to the beginning of its last write.
struct Reign<'a> {
    server: &'a str,
    from: Micros,
    to: Micros,
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
        let mut troubles = BTreeMap::new();
        for attempt in &self.attempts {
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

/// Every case in which one server acknowledged a write wholly within the reign of another, over all writers of one
/// resource. An unconfirmed write counts as well: the server took it.
pub fn two_masters(histories: &[History]) -> Vec<TwoMasters> {
    let mut taken: Vec<(&str, &Attempt)> = histories
        .iter()
        .flat_map(|history| &history.attempts)
        .filter(|attempt| !matches!(attempt.outcome, Outcome::Failed { .. }))
        .filter_map(|attempt| Some((attempt.server.as_deref()?, attempt)))
        .collect();
    taken.sort_by_key(|(_, attempt)| attempt.at);
    let reigns = reigns(&taken);
    let mut cases = Vec::new();
    for reign in &reigns {
        let mut accused = BTreeSet::new();
        for (server, attempt) in &taken {
            let meanwhile = attempt.sent >= reign.from && attempt.at <= reign.to;
            if *server != reign.server && meanwhile && accused.insert(*server) {
                cases.push(TwoMasters {
                    reigning: reign.server.to_owned(),
                    other: (*server).to_owned(),
                    seq: attempt.seq,
                    at: attempt.at,
                });
            }
        }
    }
    cases
}

fn reigns<'a>(taken: &[(&'a str, &Attempt)]) -> Vec<Reign<'a>> {
    let mut reigns: Vec<Reign<'a>> = Vec::new();
    // index of the open reign of each server
    let mut open: BTreeMap<&str, (Reign<'a>, Micros)> = BTreeMap::new();
    for (server, attempt) in taken {
        match open.get_mut(server) {
            Some((reign, last)) if attempt.at.saturating_sub(*last) <= REIGN_PAUSE => {
                reign.to = reign.to.max(attempt.sent);
                *last = attempt.at;
            }
            _ => {
                let reign = Reign {
                    server,
                    from: attempt.at,
                    to: attempt.sent,
                };
                reigns.extend(open.insert(server, (reign, attempt.at)).map(|(ended, _)| ended));
            }
        }
    }
    reigns.extend(open.into_values().map(|(reign, _)| reign));
    reigns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Micros {
        n * 1000
    }

    fn attempt(seq: u64, at: u64, server: &str, outcome: Outcome) -> Attempt {
        Attempt {
            seq,
            sent: ms(at) - 500,
            at: ms(at),
            server: Some(server.to_owned()),
            outcome,
        }
    }

    /// Acknowledged writes by one server, one each 5 ms.
    fn reign(server: &str, from: u64, to: u64) -> Vec<Attempt> {
        (from..to)
            .step_by(5)
            .map(|at| attempt(at, at, server, Outcome::Acknowledged))
            .collect()
    }

    fn history(parts: Vec<Vec<Attempt>>) -> History {
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

    #[test]
    fn interleaved_acknowledgements_are_two_masters() {
        let two = history(vec![reign("a", 100, 300)]);
        let other = history(vec![reign("b", 200, 400)]);
        let cases = two_masters(&[two, other]);
        assert_eq!(cases.len(), 2, "each within the reign of the other: {cases:?}");
        assert_eq!((cases[0].reigning.as_str(), cases[0].other.as_str()), ("a", "b"));
    }

    #[test]
    fn one_write_on_a_stale_master_is_enough() {
        let reigning = history(vec![reign("b", 200, 400)]);
        let stale = history(vec![
            reign("a", 100, 190),
            vec![attempt(900, 300, "a", Outcome::Acknowledged)],
        ]);
        assert_eq!(
            two_masters(&[reigning, stale]).iter().map(|case| case.seq).min(),
            Some(200)
        );
        let unconfirmed = history(vec![vec![attempt(1, 300, "a", Outcome::Unconfirmed { replicas: 0 })]]);
        assert_eq!(
            two_masters(&[history(vec![reign("b", 200, 400)]), unconfirmed]).len(),
            1
        );
    }

    #[test]
    fn one_after_the_other_is_innocent() {
        let one = history(vec![reign("a", 100, 300), reign("b", 305, 600)]);
        let other = history(vec![reign("a", 102, 299), reign("b", 310, 600)]);
        assert_eq!(two_masters(&[one, other]), []);
    }

    #[test]
    fn back_again_after_a_while_is_innocent() {
        let back = history(vec![
            reign("a", 100, 300),
            reign("b", 400, 1_500),
            reign("a", 1_600, 1_700),
        ]);
        assert_eq!(two_masters(&[back]), []);
    }

    #[test]
    fn failed_writes_accuse_nobody() {
        let failed = Outcome::Failed {
            kind: "READONLY".to_owned(),
        };
        let stale = history(vec![vec![attempt(1, 300, "a", failed)]]);
        assert_eq!(two_masters(&[history(vec![reign("b", 200, 400)]), stale]), []);
    }
}
