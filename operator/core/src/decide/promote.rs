//! A claim is on record: promote, verify, publish, and begin the new term's daily work.

use super::elect::Count;
use super::suspect::{LATER, LONG};
use super::{Aside, Master, Say, View, elect, suspect};
use crate::plan::{Reason, Step};
use crate::record::{Claim, Phase};
use crate::replication::{Replication, Role};
use std::time::Duration;

/// Phase Promoting. Only the claimed process, in the state in which it was frozen, is promoted; only one that proves to
/// have been promoted from that very state is published.
pub(super) fn promote(view: &View, aside: &mut Aside) -> Say {
    let claim = view
        .record
        .claim
        .as_ref()
        .filter(|_| view.record.phase == Phase::Promoting)?;
    let Some(living) = view.living(&claim.process) else {
        if view.end_of(&claim.process).is_some() {
            return Some((again(view), "the claimed one ended: elect again"));
        }
        return Some(lost(view, claim, aside));
    };
    if !living.instance.attached {
        return Some((vec![], "wait for the claimed one's connection"));
    }
    let it = &living.answer.replication;
    match it.role {
        Role::Master if is_as_claimed(it, claim) => Some(finish(view, claim, it)),
        Role::Replica if it.is_frozen() && it.id == claim.id && it.offset == claim.offset => {
            let users = elect::users(view.record, &claim.process);
            Some((
                vec![Step::Promote {
                    claim: claim.clone(),
                    users,
                }],
                "promote the claimed one",
            ))
        }
        Role::Master | Role::Replica if view.record.master.is_some() => {
            Some((again(view), "the claimed one is not what was claimed: elect again"))
        }
        Role::Replica if it.is_frozen() => {
            let next = view.next_term("the claimed one is not what was claimed");
            Some((elect::promotion(view, next, living)?, "claim again"))
        }
        Role::Master | Role::Replica => Some((vec![Step::Freeze(living.instance.process()?)], "freeze again")),
    }
}

/// The claimed one says nothing. Whether it was promoted is unknown, but nobody is led to it, for no publication is on its way
/// where the slice is settled, and nobody was told to follow it: so another one may be elected, if the others are enough
/// without it.
fn lost(view: &View, claim: &Claim, aside: &mut Aside) -> (Vec<Step>, &'static str) {
    let pod = &claim.process.pod;
    let lasts = view.silence(&claim.process).map_or(Duration::ZERO, |it| it.lasts);
    let published = view.seen.slice.as_ref().and_then(|slice| slice.target.as_ref()) == Some(&claim.process.uid);
    if let Master::Serves(_) = view.master()
        && !published
    {
        return (again(view), "the former master answers: end the promotion");
    }
    let left = view.seen.desired.down_after.saturating_sub(lasts);
    let proof = match view.master() {
        Master::Ended(proof) => Some(proof),
        _ => None,
    };
    if left.is_zero() && !published && elect::count(view, proof, &view.electable(), aside) == Count::Enough {
        return (again(view), "the claimed one is silent: elect again");
    }
    let mut text = format!("{pod} was being promoted and does not answer");
    if lasts >= LONG {
        text.push_str(&suspect::way_out(&claim.process.run_id));
    }
    aside.note(Reason::MasterUnclear, text);
    aside.wake(if left.is_zero() { LATER } else { left });
    (vec![], "wait for the claimed one")
}

/// The proof of lineage that a promoted process carries: its second id is the claimed one, up to at least that offset.
pub(super) fn is_as_claimed(it: &Replication, claim: &Claim) -> bool {
    it.run_id == claim.process.run_id
        && it.id2.as_ref() == Some(&claim.id)
        && it.forked_at.is_some_and(|at| at >= claim.offset)
}

/// It is master. A former one that still answers as master is demoted first; then the new one is published, its
/// siblings are told, and the record says Steady with everybody joining.
fn finish(view: &View, claim: &Claim, it: &Replication) -> (Vec<Step>, &'static str) {
    let demoted = match view.master() {
        Master::Serves(former) | Master::Demoted(former) if former.instance.uid != claim.process.uid => {
            if !former.instance.attached {
                return (vec![], "wait for the connection of the former master");
            }
            former.instance.process().map(Step::Demote)
        }
        _ => None,
    };
    let mut next = view.next();
    next.phase = Phase::Steady;
    (next.claim, next.target) = (None, None);
    next.previous_id = Some(claim.id.clone());
    next.id.clone_from(&it.id);
    next.promoted_at = it.forked_at.unwrap_or_default();
    next.quorum = 0;
    next.copies.insert(claim.process.pod.clone());
    let former = next.master.replace(claim.process.clone());
    next.members.remove(&claim.process.pod);
    let lives = |p: &crate::record::Process| p.uid != claim.process.uid && view.end_of(p).is_none();
    elect::all_joining(&mut next, former.filter(lives));
    let siblings: Vec<_> = next.members.values().map(|member| member.process.clone()).collect();
    let mut steps: Vec<_> = demoted.into_iter().collect();
    steps.extend([Step::Publish(claim.process.clone()), Step::Record(next)]);
    let told = siblings
        .iter()
        .filter_map(|process| view.living(process))
        .filter(|it| it.instance.attached);
    let who = told.filter_map(|it| it.instance.process());
    steps.extend(who.map(|who| Step::Follow {
        who,
        master: claim.process.address.clone(),
    }));
    (steps, "publish the new master")
}

/// Back to freezing and counting, in a new term: whatever was claimed before is void. Without a master before, there is
/// nothing to elect from: the rule for a restart chooses again.
fn again(view: &View) -> Vec<Step> {
    let mut next = view.next_term("the promotion failed");
    next.claim = None;
    next.phase = Phase::Electing;
    vec![Step::Record(next)]
}
