//! The recorded master is not serving: begin an election, or say why not.

use super::elect::{self, Count};
use super::{Aside, Master, Say, View};
use crate::plan::{Reason, Step};
use crate::record::{Phase, Stage};
use crate::replication::Role;

/// Phase Steady without a serving master. An election begins only when it could be completed: until then nothing is
/// touched. A master that nothing proves ended ends the pass: daily work needs a master.
pub(super) fn suspect(view: &View, aside: &mut Aside) -> Say {
    if view.record.phase != Phase::Steady {
        return None;
    }
    match view.master() {
        Master::Serves(living) => (!living.instance.attached).then(|| (vec![], "wait for the master's connection")),
        Master::Demoted(_) => Some(adopt(view).unwrap_or_else(|| begin(view, "its master was demoted"))),
        Master::Unclear(what) => {
            aside.note(Reason::MasterUnclear, what);
            Some((vec![], "wait for the master"))
        }
        Master::None => None,
        Master::Ended(proof) => Some(match elect::count(view, proof, &view.electable(), aside) {
            Count::Enough => begin(view, "its master ended"),
            Count::TooFew if proof.is_strong() => (keep_proof(view), "keep the proof that the master ended"),
            Count::TooFew => (vec![], "wait for a quorum"),
        }),
    }
}

/// Intent, then the freezes that can be done at once, in one plan: the record goes first.
fn begin(view: &View, reason: &str) -> (Vec<Step>, &'static str) {
    let mut next = view.next_term(reason);
    next.phase = Phase::Electing;
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

/// A failover was done by hand: a member answers as master and continues the recorded history.
fn adopt(view: &View) -> Option<(Vec<Step>, &'static str)> {
    let members = view.record.members.values();
    let chosen = members.filter_map(|member| view.living(&member.process)).find(|it| {
        let r = &it.answer.replication;
        r.role == Role::Master && !r.loading && it.instance.attached && r.id2.as_ref() == Some(&view.record.id)
    })?;
    let mut next = view.next_term("Adopted");
    let process = chosen.instance.process()?;
    let former = next.master.replace(process.clone());
    next.previous_id = Some(std::mem::replace(&mut next.id, chosen.answer.replication.id.clone()));
    next.promoted_at = chosen.answer.replication.forked_at.unwrap_or_default();
    next.quorum = 0;
    next.members.remove(&process.pod);
    elect::all_joining(&mut next, former.filter(|former| view.end_of(former).is_none()));
    debug_assert!(next.members.values().all(|member| member.stage == Stage::Joining));
    Some((vec![Step::Record(next)], "adopt the master that was promoted by hand"))
}
