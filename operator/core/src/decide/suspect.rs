//! The recorded master is not serving: begin an election, or say why not.

use super::elect::{self, Count};
use super::silence::{SPARED, Silence, Witnesses};
use super::{Aside, Master, Proof, Say, View, adopt};
use crate::plan::{Reason, Step};
use crate::record::Phase;
use std::time::Duration;

/// How soon the witnesses are asked again, and how soon once that has gone on for a while.
const SOON: Duration = Duration::from_millis(100);
pub(super) const LATER: Duration = Duration::from_secs(1);
/// A silence that is told with the way out for a person.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// Phase Steady without a serving master. An election begins only when it could be completed: until then nothing is
/// touched. A master that nothing proves ended ends the pass: daily work needs a master.
pub(super) fn suspect(view: &View, aside: &mut Aside) -> Say {
    if view.record.phase != Phase::Steady {
        return None;
    }
    let master = view.master();
    if let Some(say) = adopt::by_hand(view, &master, aside) {
        return Some(say);
    }
    match master {
        Master::Serves(living) => (!living.instance.attached).then(|| (vec![], "wait for the master's connection")),
        Master::Demoted(living) if !living.instance.attached => {
            Some((vec![], "wait for the demoted master's connection"))
        }
        Master::Demoted(_) => Some(begin(view, "its master was demoted", None)),
        Master::Alive(what) => {
            match view.serving() {
                Some(_) => aside.wake(LATER),
                None => aside.note(Reason::MasterUnclear, what),
            }
            Some((vec![], "wait for the master"))
        }
        Master::Unclear => Some((vec![], "wait for the master")),
        Master::None => None,
        Master::Silent(silence) if !silence.left.is_zero() => {
            aside.wake(silence.left.min(SOON));
            Some((vec![], "wait for the silent master"))
        }
        Master::Silent(silence) => Some(match doubt(view, silence, aside) {
            None => begin(
                view,
                if silence.hung {
                    "its master hangs"
                } else {
                    "its master is unreachable"
                },
                None,
            ),
            Some(doubt) => wait(view, silence, doubt, aside),
        }),
        Master::Ended(proof) => Some(match elect::count(view, Some(proof), &view.electable(), aside) {
            Count::Enough => begin(view, "its master ended", Some(proof)),
            Count::TooFew if proof.ends() => (keep_proof(view), "keep the proof that the master ended"),
            Count::TooFew => (vec![], "wait for a quorum"),
        }),
    }
}

/// Why a silent master is not replaced; none if it is.
fn doubt(view: &View, silence: Silence, aside: &mut Aside) -> Option<String> {
    let master = view.record.master.as_ref()?;
    let pod = &master.pod;
    match view.witnesses(master) {
        Witnesses::Heard(by) => {
            return Some(format!(
                "master {pod} does not answer the operator, but {by} hears it, so it lives: is the operator cut off from it, by a network policy or a firewall?"
            ));
        }
        Witnesses::Nobody => {
            return Some(format!(
                "master {pod} does not answer, and no full replica can be asked: it may be the operator that is cut off"
            ));
        }
        Witnesses::Gone => {}
    }
    if let Some((run_id, at)) = &view.seen.memory.spared
        && *run_id == master.run_id
        && view.seen.now.since(*at) < SPARED
    {
        return Some(format!(
            "master {pod} does not answer, and did when it was to be replaced a moment ago"
        ));
    }
    let attempts = view.seen.memory.attempts.as_ref();
    if let Some(attempts) = attempts.filter(|it| it.run_id == master.run_id)
        && view.seen.now.since(attempts.last) < attempts.pause()
    {
        return Some(format!(
            "master {pod} does not answer, and an attempt to replace it has just ended without a new one; the next follows soon"
        ));
    }
    if !silence.hung && !view.is_guarded() {
        return Some(format!(
            "master {pod} does not answer, and its write guard was not on yet: it might go on taking writes, and so might a second one"
        ));
    }
    (elect::count(view, None, &view.electable(), aside) == Count::TooFew)
        .then(|| format!("master {pod} does not answer, and too few members are reached to replace it safely"))
}

/// Nothing is known that would allow more: who was frozen for an election that ended follows again, for the master may
/// be cut off from the operator alone and need them for its guard.
fn wait(view: &View, silence: Silence, mut doubt: String, aside: &mut Aside) -> (Vec<Step>, &'static str) {
    if let Some(master) = view.record.master.as_ref().filter(|_| silence.lasts >= LONG) {
        doubt.push_str(&way_out(&master.run_id));
    }
    aside.note(Reason::MasterUnclear, doubt);
    aside.wake(if silence.lasts < LONG { SOON } else { LATER });
    (elect::unfreeze(view), "wait for the silent master")
}

/// What a person can do who knows more. Run ids are separated by commas.
pub(super) fn way_out(run_ids: &str) -> String {
    let annotation = crate::names::ANNOTATION_ENDED;
    let (whose, it) = if run_ids.contains(',') {
        ("their processes have ended (the nodes are off)", "one")
    } else {
        ("its process has ended (the node is off)", "it")
    };
    format!(
        ". If you are sure that {whose}: kubectl annotate --overwrite redis NAME {annotation}={run_ids}. If {it} still runs, what it acknowledges meanwhile is lost"
    )
}

/// Intent, then the freezes that can be done at once: the record goes first.
///
/// A proof is written down with it: it may vanish with the pod object in the middle of the election.
fn begin(view: &View, reason: &str, proof: Option<Proof>) -> (Vec<Step>, &'static str) {
    let mut next = view.next_term(reason);
    next.phase = Phase::Electing;
    if let Some(master) = next.master.as_mut().filter(|_| proof.is_some_and(Proof::ends)) {
        master.ended = true;
    }
    let mut steps = vec![Step::Record(next)];
    // One that is silent may be heard again by now: that is looked at before the first freeze, which would end it.
    if !matches!(view.master(), Master::Silent(_)) {
        steps.extend(elect::freezes(view, &elect::candidates(view)));
    }
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
