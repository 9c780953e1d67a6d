//! An instance serves as master although the record does not say so: it is adopted, never replaced.

use super::view::{Living, View};
use super::{Aside, Master, Say};
use crate::observed::{Instance, Observed};
use crate::plan::{Reason, Step};
use crate::record::{Member, Phase, Process, Record, Stage};
use crate::replication::Replication;
use std::collections::BTreeMap;

/// Who answers as a master.
pub(super) enum Serving<'a> {
    /// Nobody.
    Nobody,
    /// This one; of several, the only one with data, or the first where none has any.
    One(Living<'a>),
    /// Several with data.
    Several,
}

/// Who answers as a master, connected or not.
pub(super) fn serving<'a>(seen: &'a Observed, aside: &mut Aside) -> Serving<'a> {
    let masters = seen.instances.values().filter(|instance| instance.is_master());
    let masters: Vec<_> = masters.filter_map(Living::of).collect();
    let Some(first) = masters.iter().min_by_key(|it| it.instance.ordinal) else {
        return Serving::Nobody;
    };
    match super::data::holders(&masters).as_slice() {
        [] => Serving::One(*first),
        [one] => Serving::One(*one),
        _ => {
            two_masters(&masters, aside);
            Serving::Several
        }
    }
}

/// A member answers as master and continues the recorded history: a failover was done by hand, or an older record was
/// put back. Beside a recorded master that serves only if it was promoted from that one's history, so later, and others
/// follow it. One that nobody follows only if the recorded master is none any more or has no follower either, who might
/// acknowledge what it takes; and not if another one has more of the recorded history.
pub(super) fn by_hand(view: &View, recorded: &Master, aside: &mut Aside) -> Say {
    match promoted_by_hand(view, recorded).as_slice() {
        [] => None,
        [one] if !one.instance.attached => Some((
            vec![],
            "wait for the connection of the master that was promoted by hand",
        )),
        [one] => Some((
            adopt(view.seen, view.next_term("Adopted"), *one)?,
            "adopt the master that was promoted by hand",
        )),
        several => {
            two_masters(several, aside);
            Some((vec![], "several were promoted by hand"))
        }
    }
}

/// Another one is to be adopted instead of the recorded master that serves.
pub(super) fn is_next(view: &View, recorded: &Master) -> bool {
    promoted_by_hand(view, recorded).len() == 1
}

fn promoted_by_hand<'a>(view: &View<'a>, recorded: &Master) -> Vec<Living<'a>> {
    let followed = |it: &Living| has_followers(view.seen, &it.instance.address);
    let later = |it: &Living| it.answer.replication.id2.as_ref() == Some(&view.record.id) && followed(it);
    let serves = matches!(recorded, Master::Serves(_));
    let members = view.record.members.values();
    let masters = members.filter_map(|member| view.living(&member.process));
    let masters = masters.filter(|it| it.instance.is_master() && continues(view, *it));
    let master = view.record.master.as_ref();
    let deserted = master.is_none_or(|master| !has_followers(view.seen, &master.address));
    let over = deserted || matches!(recorded, Master::Ended(_) | Master::Demoted(_) | Master::None);
    let wins = |it: &Living| followed(it) || (over && !is_left_behind(view, *it));
    masters.filter(|it| later(it) || (!serves && wins(it))).collect()
}

/// After it was promoted somebody else received more of the recorded history, which clients wrote and may have been
/// acknowledged.
fn is_left_behind(view: &View, it: Living) -> bool {
    let forked_at = it.answer.replication.forked_at;
    let mut others = view
        .record
        .members
        .values()
        .filter_map(|member| view.living(&member.process));
    it.answer.replication.id2.as_ref() == Some(&view.record.id)
        && others.any(|other| view.has_data(other.answer) && Some(other.answer.replication.offset) > forked_at)
}

/// The next record with this master, Steady: whoever was a member, or follows it, is joining.
pub(super) fn adopt(seen: &Observed, mut next: Box<Record>, master: Living) -> Option<Vec<Step>> {
    let it = &master.answer.replication;
    let process = master.instance.process()?;
    let former = next.master.replace(process.clone());
    (next.phase, next.claim, next.target, next.quorum) = (Phase::Steady, None, None, 0);
    next.elected.clone_from(&seen.desired.elect);
    next.id.clone_from(&it.id);
    next.previous_id.clone_from(&it.id2);
    next.promoted_at = it.forked_at.unwrap_or_default();
    next.note_file(&process.pod, it.rewriting);
    let in_sync = seen
        .instances
        .values()
        .filter(|i| follows(i, &master.instance.address) && shares_history(i, master));
    // What others held before is no copy of what a newcomer holds, nor of nothing.
    if it.keys == 0 || !next.copies.contains(&process.pod) {
        next.copies.clear();
    }
    let copies = in_sync.map(|instance| instance.pod.clone());
    next.copies.extend(copies.chain([process.pod.clone()]));
    let followers = seen
        .instances
        .values()
        .filter(|instance| follows(instance, &master.instance.address));
    let members = std::mem::take(&mut next.members)
        .into_values()
        .map(|member| member.process);
    let lives = |process: &Process| View::new(seen, &next).end_of(process).is_none();
    let all = former.into_iter().chain(members).filter(lives);
    let all = all.chain(followers.filter_map(Instance::process));
    let others = all.filter(|other| other.uid != process.uid);
    let members = others.map(joining).collect::<BTreeMap<_, _>>();
    next.members = members;
    Some(vec![Step::Record(next)])
}

/// A process that begins as a member.
pub(super) fn joining(process: Process) -> (String, Member) {
    let member = Member {
        process,
        stage: Stage::Joining,
        was_full: false,
    };
    (member.process.pod.clone(), member)
}

/// It is of the history before the recorded one: what it took since is no part of that.
pub(super) fn is_superseded(view: &View, it: &Replication) -> bool {
    !is_related(view, it) && view.record.previous_id.as_ref() == Some(&it.id)
}

/// It is in a history that has nothing to do with the recorded one, which others still hold, and nobody is in sync with it.
pub(super) fn is_stranger(view: &View, it: Living) -> bool {
    !is_related(view, &it.answer.replication) && is_held(view) && !is_followed(view, it)
}

/// A member that takes writes, with data in a history that has nothing to do with the recorded one: since it was full, more
/// than one was promoted of whom the record does not know. Whoever never was full may have been a master long ago.
pub(super) fn is_ahead(view: &View, it: Living) -> bool {
    let r = &it.answer.replication;
    let member = view.record.member(&it.instance.uid, &r.run_id);
    let full = member.is_some_and(|member| member.stage != Stage::Joining || member.was_full);
    full && r.keys > 0 && !is_related(view, r) && !is_superseded(view, r)
}

fn is_related(view: &View, it: &Replication) -> bool {
    it.id == view.record.id || it.id2.as_ref() == Some(&view.record.id)
}

pub(super) fn is_followed(view: &View, it: Living) -> bool {
    let mut others = view.seen.instances.values();
    others.any(|instance| follows(instance, &it.instance.address) && shares_history(instance, it))
}

/// Somebody who answers is in the recorded history, with data.
fn is_held(view: &View) -> bool {
    let all = view.seen.instances.values().filter_map(Instance::answer);
    let mut all = all.map(|answer| &answer.replication);
    all.any(|it| it.id == view.record.id && it.placed && it.keys > 0)
}

/// Its second id is the recorded one, or it was promoted from exactly where the recorded master was; or somebody is in
/// sync with it, which a member that promoted itself to nothing cannot have.
pub(super) fn continues(view: &View, it: Living) -> bool {
    let r = &it.answer.replication;
    if is_superseded(view, r) || is_stranger(view, it) {
        return false;
    }
    let before = r.id2 == view.record.previous_id && r.forked_at == Some(view.record.promoted_at);
    r.id2.as_ref().is_some_and(|id| *id == view.record.id || before) || is_followed(view, it)
}

/// Its link is up and it has the same id.
fn shares_history(instance: &Instance, master: Living) -> bool {
    let answer = instance.answer().map(|answer| &answer.replication);
    answer.is_some_and(|it| it.id == master.answer.replication.id && it.link_is_up())
}

fn has_followers(seen: &Observed, address: &str) -> bool {
    seen.instances.values().any(|instance| follows(instance, address))
}

fn follows(instance: &Instance, address: &str) -> bool {
    let upstream = instance
        .answer()
        .and_then(|answer| answer.replication.upstream.as_ref());
    upstream.is_some_and(|upstream| upstream.host == address)
}

fn two_masters(masters: &[Living], aside: &mut Aside) {
    let names: Vec<_> = masters.iter().map(|it| it.instance.pod.as_str()).collect();
    let text = format!(
        "several instances take writes and the record names none of them: {}; make all but one a replica, as the README shows under \"Several masters\"",
        names.join(", ")
    );
    aside.note(Reason::TwoMasters, text);
}
