//! Nobody who holds what the record speaks of lives any more: a power cut, all pods deleted, or one instance alone.

use super::adopt::{self, Serving};
use super::elect::promotion;
use super::view::Living;
use super::{Aside, Say, View, data};
use crate::observed::{Instance, Moment, Observed, Policy};
use crate::plan::{Reason, Step};
use crate::record::{Phase, Stage};
use crate::replication::Replication;
use std::time::Duration;

/// How long a restart, and a first start on volumes, waits for pods that do not answer or still load.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// After every wanted and every existing pod has answered with its dataset loaded, or a minute: the best evidence wins,
/// and where evidence differs nobody does. A master that serves all the same is adopted: the record is an old one.
pub(super) fn restart(view: &View, aside: &mut Aside) -> Say {
    if !view.nobody_lives() {
        return None;
    }
    if let Some(say) = who_serves(view, aside) {
        return Some(say);
    }
    let ready = ready(view.seen);
    if let Some(pod) = loading(view).filter(|_| view.named().is_none()) {
        let text = format!(
            "no instance serves; {pod}, the last master, loads its data, which may be more than all others have: it is waited for. {}",
            data::NAME_ONE
        );
        aside.note(Reason::WaitingForPods, text);
        return Some((vec![], "restart: wait for the last master's data"));
    }
    if let Some(say) = wait_for_all(view.seen, view.seen.memory.nobody_since, PATIENCE, &ready, aside) {
        return Some(say);
    }
    if let Some(freezes) = freeze_all(&ready) {
        return Some((freezes, "restart: freeze"));
    }
    let named = data::named(view.named(), &ready);
    let evident = choose(view, &ready);
    let by_name = evident.is_err();
    let chosen = match evident.or_else(|text| named.ok_or(text)) {
        Ok(chosen) => chosen,
        Err(text) => {
            aside.note(Reason::AmbiguousData, data::undecided(text, view.named(), &ready));
            return Some((vec![], "restart: the evidence is ambiguous"));
        }
    };
    let keys = chosen.answer.replication.keys;
    let mut next = view.next_term(format!(
        "Restarted: {} was chosen with {keys} keys",
        chosen.instance.pod
    ));
    next.phase = Phase::Promoting;
    if let Some(master) = &mut next.master {
        master.ended = true;
    }
    next.members.clear();
    next.quorum = 0;
    // Whatever turns up later beside an empty instance, or beside data from elsewhere, is no copy of its.
    if keys == 0 || !next.copies.contains(&chosen.instance.pod) {
        next.copies.clear();
    }
    if by_name {
        next.copies.extend(data::given_up(&ready, chosen));
    }
    Some((promotion(view, next, chosen)?, "restart: promote"))
}

/// A master that serves all the same is adopted, unless it is one of a history before or has nothing where others have.
fn who_serves(view: &View, aside: &mut Aside) -> Say {
    let masters = view.seen.instances.values().filter(|i| i.attached && i.is_master());
    let masters: Vec<_> = masters.filter_map(Living::of).collect();
    if let Some(steps) = demotions(&masters, |it| adopt::is_superseded(view, &it.answer.replication)) {
        return Some((steps, "restart: demote a master of the history before"));
    }
    if let Some(say) = strangers(view, &masters, aside) {
        return Some(say);
    }
    // Somebody promoted it by hand, or nobody knows who: nothing is lost with it, and all with it as a master.
    let empty = |it: &Living| it.answer.replication.keys == 0 && data_is_elsewhere(view);
    if let Some(steps) = demotions(&masters, empty) {
        return Some((steps, "restart: demote a master that has nothing"));
    }
    match adopt::serving(view.seen, aside) {
        Serving::One(master) if master.instance.attached => {
            let steps = adopt::adopt(view.seen, view.next_term("Adopted"), master)?;
            Some((steps, "adopt the serving master"))
        }
        Serving::One(_) | Serving::Several => Some((vec![], "wait for the serving master")),
        Serving::Nobody => None,
    }
}

/// Masters of another history give way. One that may be ahead of the record is left alone until a person says whose data
/// counts.
fn strangers(view: &View, masters: &[Living], aside: &mut Aside) -> Say {
    let strange = |it: &Living| adopt::is_stranger(view, *it);
    let Some(ahead) = masters.iter().find(|it| strange(it) && adopt::is_ahead(view, **it)) else {
        return Some((
            demotions(masters, strange)?,
            "restart: demote a master of another history",
        ));
    };
    let Some(named) = view.named() else {
        let text = format!(
            "{} serves with {} keys of a history that the record does not know, and others hold the recorded one. {}",
            ahead.instance.pod,
            ahead.answer.replication.keys,
            data::NAME_ONE
        );
        aside.note(Reason::AmbiguousData, text);
        return Some((vec![], "restart: a master of an unknown history serves"));
    };
    let steps = demotions(masters, |it| strange(it) && it.instance.pod != *named)?;
    Some((steps, "restart: demote whom nobody named"))
}

fn demotions(masters: &[Living], those: impl Fn(&Living) -> bool) -> Option<Vec<Step>> {
    let processes = masters.iter().filter(|it| those(it));
    let processes = processes.filter_map(|it| it.instance.process());
    let steps: Vec<_> = processes.map(Step::Demote).collect();
    (!steps.is_empty()).then_some(steps)
}

/// A pod that had a copy of what the record speaks of still holds something.
fn data_is_elsewhere(view: &View) -> bool {
    let mut all = view.seen.instances.values();
    all.any(|it| view.record.copies.contains(&it.pod) && it.answer().is_some_and(|a| a.replication.keys > 0))
}

/// Instances that answer with their dataset loaded and may be told things.
pub(super) fn ready(seen: &Observed) -> Vec<Living<'_>> {
    let living = seen.instances.values().filter_map(Living::of);
    living
        .filter(|it| it.instance.attached && !it.answer.replication.loading)
        .collect()
}

/// Waits until every wanted and every existing pod is among `ready`, at most for `patience` since `since`; and without
/// end for somebody to follow, or while one hears a master that nobody else sees.
pub(super) fn wait_for_all(
    seen: &Observed,
    since: Option<Moment>,
    patience: Duration,
    ready: &[Living],
    aside: &mut Aside,
) -> Say {
    if let Some((pod, host)) = hears_a_stranger(seen) {
        let text = format!(
            "{pod} is in sync with {host}, which is no instance that answers: nothing is started over while it is; who has that address, and can the operator reach it?"
        );
        aside.note(Reason::MasterUnclear, text);
        return Some((vec![], "wait for the master that is still heard"));
    }
    let missing = missing(seen, ready);
    if missing.is_empty() {
        return None;
    }
    let waited = since.map_or(Duration::ZERO, |since| seen.now.since(since));
    if waited < patience {
        aside.wake(patience.saturating_sub(waited));
    } else if !ready.is_empty() {
        return None;
    }
    let text = format!(
        "no instance serves; waiting up to {} s for: {}",
        patience.as_secs(),
        missing.join(", ")
    );
    aside.note(Reason::WaitingForPods, text);
    Some((vec![], "wait for pods"))
}

/// Wanted and existing pods that are not among `ready`.
fn missing(seen: &Observed, ready: &[Living]) -> Vec<String> {
    let is_ready = |instance: &&Instance| ready.iter().any(|it| it.instance.uid == instance.uid);
    let silent = seen.instances.values().filter(|instance| !is_ready(instance));
    let exists = |ordinal: &u32| seen.instances.values().any(|instance| instance.ordinal == *ordinal);
    let absent = (0..seen.desired.replicas).filter(|ordinal| !exists(ordinal));
    let silent = silent.map(|instance| instance.pod.clone());
    silent.chain(absent.map(|n| format!("ordinal {n}"))).collect()
}

/// One whose link is up, to an address at which no instance of ours answers: a master lives there.
fn hears_a_stranger(seen: &Observed) -> Option<(&str, &str)> {
    let answers = |host: &str| {
        seen.instances
            .values()
            .any(|i| i.address == host && i.answer().is_some())
    };
    seen.instances.values().find_map(|instance| {
        let upstream = instance.answer()?.replication.upstream.as_ref()?;
        (upstream.link_up && !answers(&upstream.host)).then_some((instance.pod.as_str(), upstream.host.as_str()))
    })
}

/// Everybody is frozen before data is compared. None when all are.
pub(super) fn freeze_all(ready: &[Living]) -> Option<Vec<Step>> {
    let loose = ready.iter().filter(|it| !it.answer.replication.is_frozen());
    let steps: Vec<_> = loose
        .filter_map(|it| Some(Step::Freeze(it.instance.process()?)))
        .collect();
    (!steps.is_empty()).then_some(steps)
}

/// The pod of whoever was master last, or was about to be, where its volume may have its data.
fn last<'a>(view: &View<'a>) -> Option<&'a str> {
    let claimed = view.record.claim.as_ref().map(|claim| &claim.process);
    let last = claimed.or(view.record.master.as_ref());
    last.filter(|_| view.seen.desired.volumes)
        .map(|process| process.pod.as_str())
}

/// The last master's pod, while it loads.
fn loading<'a>(view: &View<'a>) -> Option<&'a str> {
    let pod = last(view)?;
    let answer = view.seen.instances.get(pod)?.answer()?;
    answer.replication.loading.then_some(pod)
}

/// Who holds data and may go on: whoever has keys, and, where anybody has, whoever shows a place in the recorded history, for
/// that may have lost its last key there. Where the last master's volume may hold more, and nobody has seen it yet (it
/// loads, or its pod is away), only members that were in sync with that master and whose volume has it, and under
/// Durability nobody: whoever was still joining, or had left, lacks what was acknowledged since.
fn holders<'a>(view: &View, ready: &[Living<'a>]) -> Result<Vec<Living<'a>>, String> {
    let record = view.record;
    if data::holders(ready).is_empty() {
        return Ok(vec![]);
    }
    let holds = |it: &&Living| {
        let it = &it.answer.replication;
        it.keys > 0 || (it.placed && it.id == record.id)
    };
    let holders: Vec<_> = ready.iter().filter(holds).copied().collect();
    let Some(last) = last(view) else {
        return Ok(holders);
    };
    if ready.iter().any(|it| it.instance.pod == last) {
        return written(view, holders, &missing(view.seen, ready));
    }
    let may_do_without = view.seen.desired.policy == Policy::Availability && loading(view).is_none();
    let in_sync = |it: &Living| {
        let member = record.members.get(&it.instance.pod);
        let full = member.is_some_and(|it| it.stage == Stage::Full || (it.stage == Stage::Leaving && it.was_full));
        may_do_without && full && is_written(view, it)
    };
    let (in_sync, others): (Vec<_>, Vec<_>) = holders.into_iter().partition(in_sync);
    if in_sync.is_empty() {
        let others: Vec<_> = others.iter().map(|it| it.instance.pod.as_str()).collect();
        return Err(format!(
            "{last}, the last master, does not answer yet, and its volume may hold what {} lacks: bring its pod back. {}",
            others.join(", "),
            data::NAME_ONE
        ));
    }
    Ok(in_sync)
}

/// Its volume has what it held.
fn is_written(view: &View, it: &Living) -> bool {
    !view.record.unwritten.contains(&it.instance.pod)
}

/// Those whose volume has what they held. If there are none: the others, unless somebody is away who may have more.
fn written<'a>(view: &View, holders: Vec<Living<'a>>, away: &[String]) -> Result<Vec<Living<'a>>, String> {
    let (written, others): (Vec<_>, Vec<_>) = holders.into_iter().partition(|it| is_written(view, it));
    match others.as_slice() {
        [first, ..] if written.is_empty() && !away.is_empty() => Err(format!(
            "the append-only file of {} is one from before its last full sync, and there may be more on the volume of {}: bring that back. {}",
            first.instance.pod,
            away.join(", "),
            data::NAME_ONE
        )),
        _ if written.is_empty() => Ok(others),
        _ => Ok(written),
    }
}

/// Who goes on. With AOF ids do not survive, nor does anybody else's data where one is alone: then whoever was master
/// last, if it holds data. Else the largest offset of the recorded history, or of the one before up to where that ended.
/// Else data that is known to be of this set. Else, if nobody has any, the lowest ordinal.
fn choose<'a>(view: &View, ready: &[Living<'a>]) -> Result<Living<'a>, String> {
    let record = view.record;
    let holders = holders(view, ready)?;
    if holders.is_empty() {
        let lost = missing(view.seen, ready);
        if view.seen.desired.volumes && !lost.is_empty() {
            let text = "nobody who answers holds data, and there may be some on the volume of";
            return Err(format!("{text} {}. {}", lost.join(", "), data::NAME_ONE));
        }
        return data::first(view.seen, ready);
    }
    let claimed = record.claim.iter().map(|claim| &claim.process);
    let last = claimed.chain(&record.master).map(|process| process.pod.as_str());
    let ids_are_lost = view.seen.desired.replicas == 1 || ready.iter().any(|it| it.answer.replication.appendonly);
    let incumbent = last
        .clone()
        .find_map(|pod| holders.iter().find(|it| it.instance.pod == pod));
    if let Some(incumbent) = incumbent.filter(|it| ids_are_lost && is_written(view, it)) {
        return data::promotable(*incumbent);
    }
    let current = |r: &Replication| r.id == record.id;
    let before = |r: &Replication| record.previous_id.as_ref() == Some(&r.id) && r.offset <= record.promoted_at;
    if let Some(most) = data::most(&holders, current).or_else(|| data::most(&holders, before)) {
        return data::promotable(most);
    }
    let known = |it: &Living| {
        let pod = it.instance.pod.as_str();
        record.master.is_none() || record.members.contains_key(pod) || last.clone().any(|other| other == pod)
    };
    if !holders.iter().all(known) {
        return Err(data::unrelated(&holders));
    }
    let chosen = data::alike(&holders).map_or_else(|| data::of_one_history(&holders), Ok);
    data::promotable(chosen?)
}
