//! Whether two masters took writes at once, judged by what all writers of one resource wrote down.

use crate::history::History;
use crate::log::{Attempt, Micros, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// A server that acknowledges nothing for this long has stopped being master; if it does so later, that is a new reign.
/// No failover there and back is as short.
const REIGN_PAUSE: Micros = 1_000_000;

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

/// Time in which one server certainly was master: from its first acknowledgement to the beginning of its last write.
struct Reign<'a> {
    server: &'a str,
    from: Micros,
    to: Micros,
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
    use crate::history::tests::{attempt, history, reign};

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
