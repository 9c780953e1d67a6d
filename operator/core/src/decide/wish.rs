//! What people ask for by annotations: a switchover, a restart. Each is answered once, in the record write that begins it
//! or refuses it, so that no crash makes it happen twice.

use super::view::Living;
use super::{Aside, Master, Say, View, priority, roll};
use crate::observed::{Instance, Paused};
use crate::plan::{Reason, Step};
use crate::record::{Outcome, Phase, Record, Request, Stage};
use std::time::Duration;

/// How long a wish waits once something is in its way.
const PATIENCE: Duration = Duration::from_secs(60);
/// Leaves the choice to the operator.
const ANY: &str = "any";

/// Why another one should be master.
pub(super) struct Wish {
    /// For people.
    pub(super) why: String,
    /// A person asked for it.
    pub(super) by_hand: bool,
    /// A person waits for it, or the master's time is short: what it waits for is said at once.
    pub(super) urgent: bool,
}

/// Why another one should be master; none if nothing asks for it. Whoever goes anyway goes first.
pub(super) fn wish(view: &View, master: Living, aside: &mut Aside) -> Option<Wish> {
    let instance = master.instance;
    let pod = &instance.pod;
    let wish = |why, by_hand, urgent| Some(Wish { why, by_hand, urgent });
    if instance.deleting {
        return wish(format!("master {pod} is being deleted"), false, true);
    }
    if view.seen.desired.paused != Paused::No {
        return None;
    }
    if instance.ordinal >= view.wanted() {
        return wish(format!("master {pod} is beyond spec.replicas"), false, false);
    }
    if let Some(why) = &instance.evacuating {
        return wish(format!("master {pod} should leave its node: {why}"), false, true);
    }
    if let Some(value) = open(view) {
        return wish(format!("a switchover to {value} was asked for"), true, true);
    }
    if roll::is_masters_turn(view, master) {
        return wish(format!("master {pod} does not follow the present spec"), false, false);
    }
    priority::wish(view, master, aside).and_then(|why| wish(why, false, false))
}

/// It is master because a person asked for it, and the annotation is still there.
pub(super) fn is_kept(view: &View, master: Living) -> bool {
    let asked = view.seen.desired.switchover.as_ref();
    let done = view.record.request.as_ref().filter(|it| it.outcome == Outcome::Done);
    let value = done.map(|it| &it.value).filter(|value| asked == Some(value));
    value.is_some_and(|value| value == ANY || *value == master.instance.pod)
}

/// What was asked for and not answered yet.
pub(super) fn open<'a>(view: &View<'a>) -> Option<&'a str> {
    let value = view.seen.desired.switchover.as_deref()?;
    let answered = view
        .record
        .request
        .as_ref()
        .is_some_and(|request| request.value == value);
    (!answered).then_some(value)
}

/// It is the one that a person named, or may be chosen for `any`.
pub(super) fn is_meant(view: &View, pod: &str) -> bool {
    open(view).is_some_and(|value| value == ANY || value == pod)
}

/// It is the one that a person named.
pub(super) fn is_named(view: &View, instance: &Instance) -> bool {
    open(view) == Some(instance.pod.as_str())
}

/// The answer that goes into the record with the write that makes it true.
pub(super) fn request(view: &View, value: &str, outcome: Outcome, reason: impl Into<String>) -> Option<Request> {
    Some(Request {
        value: value.to_owned(),
        outcome,
        from: view.record.master.as_ref().map(|master| master.run_id.clone()),
        reason: reason.into(),
        at: format!("{:.0}", view.seen.clock),
    })
}

/// Answers what can be answered without a switchover, and ends the story of one that has begun.
pub(super) fn answer(view: &View, aside: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    if view.record.phase != Phase::Steady {
        return None;
    }
    restart(view)
        .or_else(|| finish(view, master))
        .or_else(|| forget(view))
        .or_else(|| refuse(view, master, aside))
}

/// A restart is accepted: from then on it is part of what pods are made for, whatever becomes of the annotation.
fn restart(view: &View) -> Say {
    let wanted = view.seen.desired.restart.as_ref()?;
    if view.record.restarted.as_ref() == Some(wanted) || view.seen.desired.paused != Paused::No {
        return None;
    }
    let mut next = view.next();
    next.restarted = Some(wanted.clone());
    Some((vec![Step::Record(next)], "accept a restart"))
}

fn finish(view: &View, master: Living) -> Say {
    let begun = view.record.request.as_ref()?;
    if begun.outcome != Outcome::Begun {
        return None;
    }
    let pod = &master.instance.pod;
    let stayed = begun.from.as_ref() == Some(&master.answer.replication.run_id);
    let fits = !stayed && (begun.value == ANY || begun.value == *pod);
    let outcome = if fits { Outcome::Done } else { Outcome::Failed };
    let reason = if stayed {
        format!("the switchover came to an end before it was done, and {pod} is master as before; ask again")
    } else {
        format!("{pod} is master")
    };
    write(view, |next| next.request = request(view, &begun.value, outcome, reason))
}

/// The annotation is gone: the same one asks anew from now on. The outcome stays to be seen.
fn forget(view: &View) -> Say {
    let answered = view.record.request.as_ref()?;
    let gone = view.seen.desired.switchover.is_none() && !answered.value.is_empty();
    if !gone {
        return None;
    }
    write(view, |next| {
        if let Some(request) = &mut next.request {
            request.value.clear();
        }
    })
}

fn write(view: &View, change: impl FnOnce(&mut Record)) -> Say {
    let mut next = view.next();
    change(&mut next);
    Some((vec![Step::Record(next)], "answer a request"))
}

fn refuse(view: &View, master: Living, aside: &mut Aside) -> Say {
    let value = open(view)?;
    let waited = match &view.seen.memory.asked {
        Some((asked, since)) if asked == value => view.seen.now.since(*since),
        _ => Duration::ZERO,
    };
    match obstacle(view, master, value) {
        Some(Obstacle::Final(why)) => write(view, |next| next.request = request(view, value, Outcome::Refused, why)),
        Some(Obstacle::Passing(why)) if waited >= PATIENCE => {
            let why = format!("{why}, for a minute");
            write(view, |next| next.request = request(view, value, Outcome::Refused, why))
        }
        Some(Obstacle::Passing(why)) => {
            aside.note(
                Reason::SwitchoverWaits,
                format!("a switchover to {value} was asked for, and {why}"),
            );
            aside.wake(PATIENCE.saturating_sub(waited));
            None
        }
        None => None,
    }
}

impl<'a> View<'a> {
    /// The switchover that a person asked for, if something is in its way that may pass. A failover is nothing of that kind:
    /// time begins with what is in the way after it.
    pub(crate) fn obstructed(&self) -> Option<&'a str> {
        let Master::Serves(master) = self.master() else {
            return None;
        };
        let value = open(self).filter(|_| self.record.phase == Phase::Steady)?;
        matches!(obstacle(self, master, value), Some(Obstacle::Passing(_))).then_some(value)
    }
}

/// What stands in the way of a wish.
enum Obstacle {
    /// It does not go away by itself.
    Final(String),
    /// It may.
    Passing(String),
}

fn obstacle(view: &View, master: Living, value: &str) -> Option<Obstacle> {
    let all = || view.seen.instances.values();
    if view.seen.desired.paused != Paused::No {
        let text = "the resource is paused: remove the annotation redis-operator.dev/paused first";
        return Some(Obstacle::Final(text.to_owned()));
    }
    if value == ANY {
        let mut others = all().filter(|it| it.uid != master.instance.uid);
        let fit = others.any(|it| unfit(view, it).is_none());
        let none = || Obstacle::Passing(format!("nobody else can be master: {}", obstacles(view, master)));
        return (!fit).then(none).or_else(|| never_joins(view));
    }
    let Some(instance) = all().find(|it| it.pod == value) else {
        let pods: Vec<_> = all().map(|it| it.pod.as_str()).collect();
        let text = format!("there is no pod {value}; name one of {}, or any", pods.join(", "));
        return Some(Obstacle::Final(text));
    };
    if instance.uid == master.instance.uid {
        return Some(Obstacle::Final(format!("{value} is the master already")));
    }
    unfit(view, instance).or_else(|| never_joins(view))
}

/// A switchover begins when nobody joins, and this one is not done with it by itself.
fn never_joins(view: &View) -> Option<Obstacle> {
    let linkless = &view.seen.memory.linkless;
    let lasts = |it: &Living| {
        linkless
            .get(&it.answer.replication.run_id)
            .is_some_and(|it| it.lasts(view.seen.now))
    };
    let pod = &view.linkless().find(lasts)?.instance.pod;
    let text = format!("{pod} joins, and has had no link to the master for more than a minute; put that right first");
    Some(Obstacle::Final(text))
}

/// Why none of the others can be master.
pub(super) fn obstacles(view: &View, master: Living) -> String {
    let others = view.seen.instances.values().filter(|it| it.uid != master.instance.uid);
    let why = others.filter_map(|it| match unfit(view, it)? {
        Obstacle::Final(why) | Obstacle::Passing(why) => Some(why),
    });
    let why: Vec<_> = why.collect();
    if why.is_empty() {
        return "there is no other pod".to_owned();
    }
    why.join("; ")
}

/// Why it cannot be master.
fn unfit(view: &View, instance: &Instance) -> Option<Obstacle> {
    let pod = &instance.pod;
    if !view.is_wanted(instance) {
        return Some(Obstacle::Final(format!("{pod} is about to go")));
    }
    if let Some(why) = &instance.evacuating {
        return Some(Obstacle::Final(format!("{pod} should leave its node: {why}")));
    }
    let Some(answer) = instance.answer() else {
        return Some(Obstacle::Passing(format!("{pod} does not answer")));
    };
    if instance.priority() == 0 {
        return Some(Obstacle::Final(format!("{pod} has priority 0 (spec.priorities)")));
    }
    let member = view.record.member(&instance.uid, &answer.replication.run_id);
    let full = member.is_some_and(|member| member.stage == Stage::Full);
    let linked = answer.replication.link_is_up();
    if !full || !linked {
        return Some(Obstacle::Passing(format!("{pod} is not in sync")));
    }
    (!instance.attached).then(|| Obstacle::Passing(format!("{pod} cannot be told anything yet")))
}
