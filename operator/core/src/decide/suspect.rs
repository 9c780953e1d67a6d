//! The recorded master is not serving: begin an election, or say why not.

use super::elect::{self, Count};
use super::{Aside, Master, Proof, Say, View, adopt};
use crate::plan::{Reason, Step};
use crate::record::Phase;

/// Phase Steady without a serving master. An election begins only when it could be completed: until then nothing is
/// touched. A master that nothing proves ended ends the pass: daily work needs a master.
pub(super) fn suspect(view: &View, aside: &mut Aside) -> Say {
    if view.record.phase != Phase::Steady {
        return None;
    }
    let master = view.master();
    if !matches!(master, Master::Serves(_))
        && let Some(say) = adopt::by_hand(view, aside)
    {
        return Some(say);
    }
    match master {
        Master::Serves(living) => (!living.instance.attached).then(|| (vec![], "wait for the master's connection")),
        Master::Demoted(living) if !living.instance.attached => {
            Some((vec![], "wait for the demoted master's connection"))
        }
        Master::Demoted(_) => Some(begin(view, "its master was demoted", None)),
        Master::Unclear(what) => {
            aside.note(Reason::MasterUnclear, what);
            Some((vec![], "wait for the master"))
        }
        Master::None => None,
        Master::Ended(proof) => Some(match elect::count(view, proof, &view.electable(), aside) {
            Count::Enough => begin(view, "its master ended", Some(proof)),
            Count::TooFew if proof.ends() => (keep_proof(view), "keep the proof that the master ended"),
            Count::TooFew => (vec![], "wait for a quorum"),
        }),
    }
}

/// Intent, then the freezes that can be done at once, in one plan: the record goes first.
///
/// A proof is written down with it: it may vanish with the pod object in the middle of the election.
fn begin(view: &View, reason: &str, proof: Option<Proof>) -> (Vec<Step>, &'static str) {
    let mut next = view.next_term(reason);
    next.phase = Phase::Electing;
    if let Some(master) = next.master.as_mut().filter(|_| proof.is_some_and(Proof::ends)) {
        master.ended = true;
    }
    let mut steps = vec![Step::Record(next)];
    steps.extend(elect::freezes(view, &elect::candidates(view)));
    (steps, "elect")
}

/// The proof may vanish with the pod object, so it is written down while it is there.
fn keep_proof(view: &View) -> Vec<Step> {
    let mut next = view.next();
    match &mut next.master {
        Some(master) if !master.ended => master.ended = true,
        _ => return vec![],
    }
    vec![Step::Record(next)]
}
