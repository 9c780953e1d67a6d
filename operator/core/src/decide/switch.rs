//! A planned change of master: writes are paused, the target catches up, the master is demoted, and an election in which
//! it is a candidate like the others promotes whoever has everything. No write is lost.

use super::view::Living;
use super::wish::{self, Wish};
use super::{Aside, Master, Say, View, elect, guard, suspect};
use crate::observed::Paused;
use crate::plan::{Reason, Step};
use crate::record::{Outcome, Phase, Process, Record, Stage};
use std::time::Duration;

/// How long the target may take to catch up: clients are paused for 3 s.
const PATIENCE: Duration = Duration::from_millis(2_000);
/// How long after one that failed it is tried again: each holds clients up.
const AGAIN: Duration = Duration::from_secs(5);
/// Why a term begins with the end of a switchover, and with that of its master.
const PLANNED: &str = "Switchover";
const LOST: &str = "its master ended in the switchover";
/// How soon its progress is looked at again.
const SOON: Duration = Duration::from_millis(5);

/// Begins a switchover that is wanted, or carries on with the one that is on record.
pub(super) fn switch(view: &View, aside: &mut Aside) -> Say {
    let paused = view.seen.desired.paused == Paused::All;
    match view.record.phase {
        Phase::Switching if paused => {
            let why = "was not made master: the resource is paused";
            Some((abort(view, why), "paused: end the switchover"))
        }
        Phase::Switching => Some(carry_on(view, aside)),
        Phase::Steady if !paused => begin(view, aside),
        Phase::Steady | Phase::Electing | Phase::Promoting => None,
    }
}

/// Only from a state in which the target may be promoted whatever happens next: everybody is full, and E = G.
fn begin(view: &View, aside: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    let Wish { why, by_hand, urgent } = wish::wish(view, master, aside)?;
    if let Some(waits) = unrest(view, master) {
        if urgent {
            aside.note(Reason::SwitchoverWaits, format!("{why}, and waits until {waits}"));
        }
        return None;
    }
    let target = target(view, master).filter(|it| !by_hand || wish::is_meant(view, &it.instance.pod));
    let Some(target) = target else {
        // what a person asked for was answered before
        if !by_hand {
            let text = format!("{why}, and nobody else can be: {}", wish::obstacles(view, master));
            aside.note(Reason::SwitchoverWaits, text);
        }
        return None;
    };
    let failed = view
        .seen
        .memory
        .switch_failed
        .map(|at| AGAIN.saturating_sub(view.seen.now.since(at)));
    if let Some(left) = failed.filter(|left| !left.is_zero()) {
        let text = format!("{why}, and an attempt has just failed; it is tried again");
        aside.note(Reason::SwitchoverWaits, text);
        aside.wake(left);
        return None;
    }
    if !urgent && target.answer.replication.rewriting {
        let pod = &target.instance.pod;
        let text = format!(
            "{why}, and waits until {pod} has written its append-only file anew: a restart of everything would bring back the one from before"
        );
        aside.note(Reason::SwitchoverWaits, text);
        aside.wake(suspect::LATER);
        return None;
    }
    let mut next = view.next();
    next.phase = Phase::Switching;
    next.target = target.instance.process();
    Some((
        vec![Step::Record(next), Step::Pause(master.instance.process()?)],
        "begin a switchover",
    ))
}

/// What has to come to an end first; none if everybody is full, and E = G.
fn unrest(view: &View, master: Living) -> Option<String> {
    let named = |stage: Stage| {
        let pods: Vec<_> = view
            .record
            .at(stage)
            .map(|member| member.process.pod.as_str())
            .collect();
        (!pods.is_empty()).then(|| pods.join(", "))
    };
    let joins = || named(Stage::Joining).map(|pods| format!("{pods} is in sync"));
    let leaves = || named(Stage::Leaving).map(|pods| format!("{pods} has left"));
    let guard = || (!guard::is_settled(view, master)).then(|| "the write guard is set".to_owned());
    let connected = || (!master.instance.attached).then(|| "the master can be told".to_owned());
    joins().or_else(leaves).or_else(guard).or_else(connected)
}

/// The best of those that stay: full, in sync, and not to be taken away next. For a master that goes whatever is decided one
/// whose node is about to go is better than nobody; it comes last.
fn target<'a>(view: &View<'a>, master: Living) -> Option<Living<'a>> {
    let full = view.living_at(Stage::Full).map(|(_, living)| living);
    let fit = full.filter(|it| {
        let may = it.instance.priority() > 0 && it.instance.attached;
        let linked = it.answer.replication.link_is_up();
        let stays = it.instance.evacuating.is_none() || master.instance.deleting;
        may && linked && stays && view.is_wanted(it.instance)
    });
    fit.min_by_key(|it| (!wish::is_named(view, it.instance), elect::preference(view, *it)))
}

/// The target has everything that the paused master has: intent to elect, then the demotion, after which the master's
/// offset is final. Not in time: the master goes on.
fn carry_on(view: &View, aside: &mut Aside) -> (Vec<Step>, &'static str) {
    let Master::Serves(master) = view.master() else {
        return (
            vec![Step::Record(electing(view, LOST))],
            "the master is gone in the middle of a switchover: elect",
        );
    };
    let target = view.record.target.as_ref().and_then(|process| view.living(process));
    let waited = view
        .seen
        .memory
        .phase
        .map_or(Duration::ZERO, |(.., since)| view.seen.now.since(since));
    let Some((target, process)) = target.zip(master.instance.process()).filter(|_| waited < PATIENCE) else {
        let why = "did not catch up while clients were held up";
        return (abort(view, why), "the target does not catch up: end the switchover");
    };
    let it = &target.answer.replication;
    if it.id == view.record.id && it.offset >= master.answer.replication.offset && target.instance.attached {
        return (
            vec![Step::Record(electing(view, PLANNED)), Step::Freeze(process)],
            "demote the master for the target",
        );
    }
    aside.wake(SOON);
    (vec![], "wait for the target to catch up")
}

fn electing(view: &View, why: &str) -> Box<Record> {
    let to = view
        .record
        .target
        .as_ref()
        .map_or("another", |process: &Process| &process.pod);
    let mut next = view.next_term(format!("{why} to {to}"));
    next.phase = Phase::Electing;
    if let Some(value) = wish::open(view).filter(|_| wish::is_meant(view, to)) {
        next.request = wish::request(view, value, Outcome::Begun, "the master hands over");
    }
    next
}

fn abort(view: &View, why: &str) -> Vec<Step> {
    let mut next = view.next();
    (next.phase, next.target) = (Phase::Steady, None);
    let to = view.record.target.as_ref().map_or("", |target| &target.pod);
    if let Some(value) = wish::open(view).filter(|_| wish::is_meant(view, to)) {
        next.request = wish::request(view, value, Outcome::Failed, format!("{to} {why}"));
    }
    let mut steps = vec![Step::Record(next)];
    if let Master::Serves(master) = view.master() {
        steps.extend(master.instance.process().map(Step::Resume));
    }
    steps
}
