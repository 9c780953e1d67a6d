//! Members that go: recorded leaving, cut off at the master, the others caught up, recorded away. In this order.

use super::view::Living;
use super::{Aside, Master, Say, View};
use crate::names;
use crate::observed::Reach;
use crate::plan::{Reason, Step};
use crate::record::{Member, Stage};
use std::time::Duration;

/// Silence after which a member that was full is taken out, while the master answers.
const FULL_SILENT: Duration = Duration::from_secs(5);
/// The same for one that is joining: a big dataset blocks for longer.
const JOINING_SILENT: Duration = Duration::from_secs(60);
/// How soon the others' progress is looked at again.
const SOON: Duration = Duration::from_millis(10);

/// Leaves while the master serves. A leaving member still counts in N and is still a candidate; it leaves the record
/// together with the fall of E, and only when E of the others have everything.
pub(super) fn leave(view: &View, aside: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    if let Some(cuts) = cut_off(view, master) {
        return Some((cuts, "cut off who is no member"));
    }
    if view.record.at(Stage::Leaving).next().is_some() {
        return Some(finish(view, master, aside));
    }
    let gone = view
        .record
        .members
        .values()
        .filter(|member| is_gone(view, member, aside))
        .map(|m| m.process.pod.clone());
    let mut gone: Vec<_> = gone.collect();
    if gone.is_empty() {
        gone.extend(surplus(view, master, aside));
    }
    if gone.is_empty() {
        return None;
    }
    let mut next = view.next();
    for pod in gone {
        if let Some(member) = next.members.get_mut(&pod) {
            member.stage = Stage::Leaving;
        }
    }
    Some((vec![Step::Record(next)], "members leave"))
}

/// Whoever is no member, or is leaving, has no user on the master.
fn cut_off(view: &View, master: Living) -> Option<Vec<Step>> {
    let on = master.instance.process()?;
    let staying = view
        .record
        .members
        .values()
        .filter(|member| member.stage != Stage::Leaving);
    let wanted: Vec<_> = staying
        .map(|member| names::replication_user(&member.process.uid))
        .collect();
    let surplus = master.answer.users.iter().filter(|user| !wanted.contains(user));
    let steps: Vec<_> = surplus
        .map(|user| Step::DropUser {
            on: on.clone(),
            user: user.clone(),
        })
        .collect();
    (!steps.is_empty()).then_some(steps)
}

fn finish(view: &View, master: Living, aside: &mut Aside) -> (Vec<Step>, &'static str) {
    let target = super::guard::target(view);
    let quorum = target.min(master.answer.guard).min(view.record.quorum);
    if view.caught_up(master.answer) < quorum {
        aside.wake(SOON);
        return (vec![], "wait until the others have what the leaving ones had");
    }
    let mut next = view.next();
    next.members.retain(|_, member| member.stage != Stage::Leaving);
    next.quorum = quorum;
    (vec![Step::Record(next)], "members have left")
}

/// Proved gone, its pod gone or going, or silent for long while the master answers.
fn is_gone(view: &View, member: &Member, aside: &mut Aside) -> bool {
    let Some(instance) = view.instance(&member.process) else {
        return true;
    };
    if view.end_of(&member.process).is_some() || instance.deleting {
        return true;
    }
    let patience = if member.stage == Stage::Full {
        FULL_SILENT
    } else {
        JOINING_SILENT
    };
    let since = match instance.reach {
        Reach::Refused { since } | Reach::Silent { since, .. } => since,
        Reach::Untried | Reach::Answers(_) | Reach::Alive(_) => return false,
    };
    let waited = view.seen.now.since(since);
    if waited < patience {
        aside.wake(patience.saturating_sub(waited));
    }
    waited >= patience
}

/// Scaled away: the highest ordinal, one finished leave at a time, and none while anything else is under way.
fn surplus(view: &View, master: Living, aside: &mut Aside) -> Option<String> {
    let unwanted = |ordinal: u32| ordinal >= view.seen.desired.replicas;
    if unwanted(master.instance.ordinal) {
        aside.note(
            Reason::MasterOnSurplusPod,
            format!(
                "{} is the master and beyond spec.replicas: it and the pods below it stay until another one is master",
                master.instance.pod
            ),
        );
    }
    let calm = view.record.members.values().all(|member| member.stage == Stage::Full)
        && view.record.quorum == super::guard::target(view)
        && master.answer.guard == view.record.quorum;
    let members = view
        .record
        .members
        .values()
        .filter_map(|member| view.instance(&member.process));
    let highest = members
        .filter(|instance| unwanted(instance.ordinal))
        .max_by_key(|instance| instance.ordinal)?;
    calm.then(|| highest.pod.clone())
}
