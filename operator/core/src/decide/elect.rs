//! Freeze, count again, choose, claim.

use super::view::Living;
use super::{Aside, Master, Proof, Say, View, adopt, suspect};
use crate::observed::{Policy, Reach};
use crate::plan::{Reason, Step};
use crate::record::{Claim, Member, Phase, Process, Record, Stage};
use crate::rule::{self, Rule};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a policy that may do without a quorum waits for the members that it does not reach yet, and for those that run a
/// script: they are in reach.
const REST: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_secs(10);
/// How long a member may take to apply what its socket still holds before it is frozen all the same.
const DRAIN: Duration = Duration::from_millis(500);

/// Whether an election may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// It may.
    Enough,
    /// Too few of those who might have an acknowledged write are there.
    TooFew,
}

/// Phase Electing.
pub(super) fn elect(view: &View, aside: &mut Aside) -> Say {
    if view.record.phase != Phase::Electing {
        return None;
    }
    let master = view.master();
    if let Master::Serves(_) | Master::Alive(_) = master {
        return Some((back(view), "the master answers: end the election"));
    }
    if let Some(say) = adopt::by_hand(view, &master, aside) {
        return Some(say);
    }
    match &master {
        Master::Unclear => return Some((vec![], "wait for the master")),
        Master::Demoted(living) if !living.instance.attached => {
            return Some((vec![], "wait for the demoted master's connection"));
        }
        _ => {}
    }
    if let Master::Silent(silence) = master {
        if !silence.left.is_zero() {
            aside.wake(silence.left);
            return Some((vec![], "wait for the silent master"));
        }
        // one that is not frozen yet: it lives after all
        if view.heard_by().is_some() {
            return Some((back(view), "a member hears the master: end the election"));
        }
    }
    let candidates = candidates(view);
    let freezes = freezes(view, &candidates);
    if !freezes.is_empty() {
        return Some((freezes, "freeze"));
    }
    if rule::on(Rule::Freeze) && candidates.iter().any(|it| !it.answer.replication.is_frozen()) {
        aside.wake(Duration::from_millis(20));
        return Some((vec![], "wait for members to apply what they received"));
    }
    let voters: Vec<_> = candidates
        .iter()
        .copied()
        .filter(|it| !is_master_of(view, *it))
        .collect();
    let empty = empty(view).filter(|it| it.answer.replication.is_frozen());
    let frozen: Vec<_> = candidates.iter().copied().chain(empty).collect();
    let enough = match master {
        Master::Demoted(_) => Count::Enough,
        Master::Ended(proof) => count(view, Some(proof), &voters, aside),
        Master::Silent(_) => count(view, None, &voters, aside),
        Master::Serves(_) | Master::Alive(_) | Master::Unclear | Master::None => Count::TooFew,
    };
    match (enough, choose(view, &candidates)) {
        (Count::Enough, Some(chosen)) => {
            let fence = view.fence(&master, &frozen);
            if fence.is_zero() {
                return claim(view, chosen);
            }
            aside.wake(fence);
            Some((vec![], "wait until the former master takes no writes"))
        }
        (Count::Enough, None) => {
            aside.note(Reason::NoCandidate, "every instance that may be promoted has priority 0, or lacks writes that one with priority 0 has; give one of them another one in spec.priorities");
            Some((vec![], "wait for a candidate"))
        }
        (Count::TooFew, _) if matches!(master, Master::Silent(_)) => Some((back(view), "too few: end the election")),
        (Count::TooFew, _) => Some((vec![], "wait for a quorum")),
    }
}

/// Who may be promoted: members that have the data, and a master that was demoted.
pub(super) fn candidates<'a>(view: &View<'a>) -> Vec<Living<'a>> {
    let mut all = view.electable();
    if let Master::Demoted(living) = view.master() {
        let known = all.iter().any(|it| it.instance.uid == living.instance.uid);
        if living.instance.attached && !known {
            all.push(living);
        }
    }
    all
}

/// Freezes for those that have applied what they received, or had time enough.
pub(super) fn freezes(view: &View, candidates: &[Living]) -> Vec<Step> {
    let waited = view.seen.memory.phase.filter(|(_, phase, _)| *phase == Phase::Electing);
    let waited = waited.is_some_and(|(_, _, since)| view.seen.now.since(since) >= DRAIN);
    let master = view.master();
    let ready = candidates.iter().filter(|it| {
        rule::on(Rule::Freeze) && !it.answer.replication.is_frozen() && (waited || is_drained(**it, &master))
    });
    // Once frozen it cannot come into sync and acknowledge anything: it is not waited for.
    let may_live = match &master {
        Master::Silent(_) => true,
        Master::Ended(proof) => !proof.ends(),
        _ => false,
    };
    let empty = empty(view).filter(|it| may_live && it.instance.attached && !it.answer.replication.is_frozen());
    ready
        .copied()
        .chain(empty)
        .filter_map(|it| Some(Step::Freeze(it.instance.process()?)))
        .collect()
}

/// Members that show that they lack the data, and never were full under this master.
fn empty<'a>(view: &View<'a>) -> impl Iterator<Item = Living<'a>> {
    let members = view.record.members.values();
    let members = members.filter(|member| member.stage != Stage::Full && !member.was_full);
    let living = members.filter_map(|member| view.living(&member.process));
    living.filter(|it| view.lacks_data(it.answer))
}

/// It has applied all that it received, and nothing more can come: its link has closed; or stays open to a demoted master
/// whose last byte it has (a demotion does not close it), or to a silent one.
fn is_drained(it: Living, master: &Master) -> bool {
    let r = &it.answer.replication;
    let Some(upstream) = &r.upstream else { return true };
    let ended = match master {
        Master::Silent(_) => true,
        Master::Demoted(former) => !upstream.link_up || r.offset >= former.answer.replication.offset,
        _ => !upstream.link_up,
    };
    ended && upstream.read_offset <= r.offset
}

/// Whoever was frozen follows the master again.
pub(super) fn unfreeze(view: &View) -> Vec<Step> {
    let Some(master) = &view.record.master else {
        return vec![];
    };
    let members = view.record.members.values();
    let living = members.filter_map(|member| view.living(&member.process));
    let frozen = living.filter(|it| it.instance.attached && it.answer.replication.is_frozen());
    let who = frozen.filter_map(|it| it.instance.process());
    who.map(|who| Step::Follow {
        who,
        master: master.address.clone(),
    })
    .collect()
}

/// R + max(E, 1) > N, or the policy's exception: a master that is proved to have ended, and a moment for the rest.
///
/// Whoever answers and shows that it lacks the data is not counted in N if it cannot get it either: from a master that
/// ended nobody can; from one that may live nobody who is frozen can, and so it has acknowledged nothing that it still has. Before
/// the freeze, one that can be frozen is taken for frozen: it is looked at again after. Unless it is or was full: what it lost
/// may be what nobody else has.
pub(super) fn count(view: &View, proof: Option<Proof>, voters: &[Living], aside: &mut Aside) -> Count {
    let reached = u32::try_from(voters.len()).unwrap_or(u32::MAX);
    let begins = view.record.phase == Phase::Steady;
    let stays_empty = |it: &Living| {
        let frozen = it.answer.replication.is_frozen() || begins;
        proof.is_some_and(Proof::ends) || (frozen && it.instance.attached)
    };
    let lacking = u32::try_from(empty(view).filter(stays_empty).count()).unwrap_or(u32::MAX);
    let (size, quorum) = (view.record.size().saturating_sub(lacking), view.record.quorum.max(1));
    if reached == 0 {
        let mut text = format!(
            "the master is gone, and none of its {size} members that may have its data can be reached; it goes on when one appears, so bring their pods and nodes back"
        );
        let left = suspect::LONG.saturating_sub(waited(view));
        match unproved(view) {
            Some(way_out) if left.is_zero() => text.push_str(&way_out),
            Some(_) => aside.wake(left),
            None => {}
        }
        aside.note(Reason::NoCandidate, text);
        return Count::TooFew;
    }
    if voters.iter().all(|it| it.instance.priority() == 0) && !matches!(view.master(), Master::Demoted(_)) {
        aside.note(Reason::NoCandidate, "the master is gone, and every instance that could replace it has priority 0; give one of them another one in spec.priorities");
        return Count::TooFew;
    }
    let named = view.named();
    let sure = proof.is_some_and(Proof::is_strong);
    let given_up = sure && voters.iter().any(|it| Some(&it.instance.pod) == named);
    if reached.saturating_add(quorum) > size || given_up || !rule::on(Rule::Quorum) {
        return Count::Enough;
    }
    let mut text = format!(
        "the master is gone; {reached} of {size} members are reached and {} are needed, so that no acknowledged write is lost",
        size.saturating_sub(quorum).saturating_add(1)
    );
    if sure {
        text.push_str(". If the others are lost for good, name one that is there: kubectl annotate --overwrite redis NAME redis-operator.dev/elect=POD");
    }
    if view.seen.desired.policy == Policy::Durability || !sure {
        aside.note(Reason::QuorumMissing, text);
        return Count::TooFew;
    }
    let waited = waited(view);
    let rest = if is_any_busy(view) { BUSY } else { REST };
    if waited >= rest {
        return Count::Enough;
    }
    aside.wake(rest.saturating_sub(waited));
    aside.note(Reason::QuorumMissing, text);
    Count::TooFew
}

/// Since the master is known to have ended.
fn waited(view: &View) -> Duration {
    let since = view.seen.memory.ended_since;
    since.map_or(Duration::ZERO, |since| view.seen.now.since(since))
}

/// How a person says that members have ended which nothing proves it of: their volumes are looked at once nobody may live.
fn unproved(view: &View) -> Option<String> {
    let lives = |process: &&Process| view.end_of(process).is_none();
    let processes = view.record.processes().filter(lives);
    let run_ids: BTreeSet<_> = processes.map(|process| process.run_id.as_str()).collect();
    let run_ids: Vec<_> = run_ids.into_iter().collect();
    (!run_ids.is_empty()).then(|| suspect::way_out(&run_ids.join(",")))
}

/// A full member replies, and with no INFO.
fn is_any_busy(view: &View) -> bool {
    let instance = |member: &Member| view.instance(&member.process);
    let full = view
        .record
        .members
        .values()
        .filter(|member| member.stage == Stage::Full || member.was_full);
    full.filter_map(instance).any(|it| matches!(it.reach, Reach::Alive(_)))
}

/// The largest frozen offset; ties by [`preference`]. One with priority 0 is never chosen, and nobody is chosen who lacks
/// what such a one has.
fn choose<'a>(view: &View, frozen: &[Living<'a>]) -> Option<Living<'a>> {
    let most = frozen.iter().map(|it| it.answer.replication.offset).max()?;
    let best = frozen
        .iter()
        .filter(|it| it.answer.replication.offset == most && it.instance.priority() > 0);
    best.copied().min_by_key(|it| preference(view, *it))
}

/// Of those that have the same data: a switchover's target, then one that stays, then by priority, then one that has it on its
/// volume, then one that is not on the old master's node, then the lowest ordinal.
pub(super) fn preference(view: &View, it: Living) -> impl Ord + use<> {
    let instance = it.instance;
    let old_node = view.record.master.as_ref().map(|master| master.node.as_str());
    let target = view.record.target.as_ref().map(|process| process.uid.as_str());
    (
        target != Some(&instance.uid),
        !view.stays(instance),
        it.instance.priority(),
        it.answer.replication.rewriting,
        !instance.node.is_empty() && old_node == Some(&instance.node),
        instance.ordinal,
    )
}

/// Who, and the id and offset under which it was frozen; then the promotion itself.
fn claim(view: &View, chosen: Living) -> Say {
    let mut next = view.next();
    next.phase = Phase::Promoting;
    Some((promotion(view, next, chosen)?, "promote"))
}

/// The steps from a chosen, frozen instance to a verified master, the record first. The users of its members-to-be are
/// created in the promotion's own transaction: told too early, a replica tries again only a second later. Whatever a
/// person said for this or an earlier election is used up.
pub(super) fn promotion(view: &View, mut next: Box<Record>, chosen: Living) -> Option<Vec<Step>> {
    let process = chosen.instance.process()?;
    let claim = Claim {
        process,
        id: chosen.answer.replication.id.clone(),
        offset: chosen.answer.replication.offset,
    };
    next.claim = Some(claim.clone());
    next.note_file(&chosen.instance.pod, chosen.answer.replication.rewriting);
    next.elected.clone_from(&view.seen.desired.elect);
    Some(vec![
        Step::Record(next),
        Step::Promote {
            users: users(view.record, &claim.process),
            claim,
        },
    ])
}

/// Uids of those who will follow a promoted process.
pub(super) fn users(record: &Record, promoted: &Process) -> Vec<String> {
    let others = record
        .members
        .values()
        .map(|member| &member.process)
        .chain(&record.master);
    others
        .filter(|process| process.uid != promoted.uid)
        .map(|process| process.uid.clone())
        .collect()
}

/// Every member, and the former master if its process lives, begins again as joining.
pub(super) fn all_joining(next: &mut Record, former: Option<Process>) {
    let members = std::mem::take(&mut next.members).into_values();
    let all = members.map(|member| member.process).chain(former);
    next.members = all.map(adopt::joining).collect();
}

fn back(view: &View) -> Vec<Step> {
    let mut next = view.next();
    next.phase = Phase::Steady;
    (next.claim, next.target) = (None, None);
    let mut steps = vec![Step::Record(next)];
    if let Master::Serves(master) = view.master()
        && view.record.target.is_some()
    {
        steps.extend(master.instance.process().map(Step::Resume));
    }
    steps.extend(unfreeze(view));
    steps
}

fn is_master_of(view: &View, it: Living) -> bool {
    view.record
        .master
        .as_ref()
        .is_some_and(|master| master.uid == it.instance.uid)
}
