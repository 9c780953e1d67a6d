//! Members that go: recorded leaving, cut off at the master, the others caught up, recorded away. In this order.

use super::view::Living;
use super::{Aside, Master, Say, View, guard, join, roll};
use crate::names;
use crate::observed::{Paused, Reach};
use crate::plan::{Reason, Step};
use crate::record::{Member, Stage};
use crate::rule::{self, Rule};
use std::time::Duration;

/// Silence after which a member that was full is taken out, while the master answers; and time without a link after
/// which it no longer counts as full.
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
    if view.record.at(Stage::Leaving).next().is_some()
        && let Some(lower) = guard::lower(view, master)
    {
        return Some(lower);
    }
    if let Some(cuts) = cut_off(view, master).filter(|_| rule::on(Rule::CutOff)) {
        return Some((cuts, "cut off who is no member"));
    }
    // Also while others leave: those who are gone must not be waited for.
    let gone = gone(view, aside);
    if !gone.is_empty() {
        return Some((record_leaving(view, gone), "members leave"));
    }
    if let Some(lapsed) = lapse(view, aside) {
        return Some((lapsed, "members without a link begin again"));
    }
    if view.record.at(Stage::Leaving).next().is_some() {
        // Those who stay are waited for, so they have to follow.
        return join::tell(view, master).or_else(|| Some(finish(view, master, aside)));
    }
    if view.seen.desired.paused != Paused::No {
        return None;
    }
    let surplus = surplus(view, master, aside)?;
    Some((record_leaving(view, vec![surplus]), "members leave"))
}

pub(super) fn record_leaving(view: &View, pods: Vec<String>) -> Vec<Step> {
    let mut next = view.next();
    for pod in pods {
        if let Some(member) = next.members.get_mut(&pod) {
            member.was_full |= member.stage == Stage::Full;
            member.stage = Stage::Leaving;
        }
    }
    vec![Step::Record(next)]
}

fn gone(view: &View, aside: &mut Aside) -> Vec<String> {
    let staying = view
        .record
        .members
        .values()
        .filter(|member| member.stage != Stage::Leaving);
    let gone = staying.filter(|member| is_gone(view, member, aside));
    gone.map(|member| member.process.pod.clone()).collect()
}

/// A full member that has been without its link for long, or runs a script for as long (it acknowledges nothing meanwhile),
/// begins again as joining. It stays a member, and E falls with the target: else it would count in the guard for as long as
/// a full sync, a broken path or that script lasts, and be waited for.
///
/// Unlike in a leave, nobody has to catch up before E falls. N stays and max(E, 1) does not grow, so an election needs no
/// fewer members than before, and those without whom it may do (fewer than max(E, 1)) are fewer than those who had a
/// write when WAIT acknowledged it. That holds as long as all of these count in N, with what they have or without it:
/// hence the mark.
fn lapse(view: &View, aside: &mut Aside) -> Option<Vec<Step>> {
    let mut next = view.next();
    let mut lapsed = false;
    for member in view.record.at(Stage::Full) {
        let Some(left) = patience(view, member) else { continue };
        if !left.is_zero() {
            aside.wake(left);
        } else if let Some(member) = next.members.get_mut(&member.process.pod) {
            (member.stage, member.was_full) = (Stage::Joining, true);
            lapsed = true;
        }
    }
    next.quorum = next.quorum.min(guard::target(view, &next));
    lapsed.then(|| vec![Step::Record(next)])
}

/// How much longer a full member that cannot acknowledge anything is waited for; none if it can.
fn patience(view: &View, member: &Member) -> Option<Duration> {
    if let Some(living) = view.living(&member.process) {
        let upstream = living.answer.replication.upstream.as_ref();
        let down = upstream.filter(|up| !up.link_up)?.down_seconds;
        // One that never had a link in its present state and yet is full was interfered with.
        return Some(down.map_or(Duration::ZERO, |seconds| {
            FULL_SILENT.saturating_sub(Duration::from_secs(seconds))
        }));
    }
    let since = view.seen.memory.wordless.get(&member.process.uid)?;
    Some(FULL_SILENT.saturating_sub(view.seen.now.since(*since)))
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
    let target = guard::target(view, view.record);
    let quorum = target.min(master.answer.guard).min(view.record.quorum);
    if view.caught_up(master) < quorum && rule::on(Rule::Left) {
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

/// Scaled away. One that is still joining goes at once, for it may never come to an end. Of the full ones the highest
/// ordinal, one finished leave at a time, none while anything else is under way, and never the last but for one instance.
fn surplus(view: &View, master: Living, aside: &mut Aside) -> Option<String> {
    let unwanted = |ordinal: u32| ordinal >= view.wanted();
    let surplus = |ordinal: u32| ordinal >= view.seen.desired.replicas;
    let rolls = roll::is_under_way(view);
    if unwanted(master.instance.ordinal) || (surplus(master.instance.ordinal) && !rolls) {
        aside.note(
            Reason::MasterOnSurplusPod,
            format!(
                "{} is the master and beyond spec.replicas: it and the pods below it stay until another one is master",
                master.instance.pod
            ),
        );
    }
    let calm = view.record.at(Stage::Joining).next().is_none() && guard::is_settled(view, master);
    let members = view.record.members.values();
    let leaving = members.filter_map(|member| {
        let instance = view.instance(&member.process)?;
        let joining = member.stage == Stage::Joining && unwanted(instance.ordinal);
        surplus(instance.ordinal).then_some((joining, instance.ordinal, &instance.pod))
    });
    let (joining, ordinal, pod) = leaving.max()?;
    let stays = !unwanted(ordinal);
    if stays && rolls {
        return None;
    }
    if stays || (!joining && !another_stays(view, pod)) {
        let text = format!(
            "{pod} is to go, and holds the only copy beside the master: it stays until another replica is in sync"
        );
        aside.note(Reason::WaitingForPods, text);
        return None;
    }
    (joining || calm).then(|| pod.clone())
}

/// Whatever was acknowledged by WAIT stays on two instances, unless the user wants but one.
fn another_stays(view: &View, pod: &str) -> bool {
    let mut others = view.record.at(Stage::Full).filter(|member| member.process.pod != pod);
    view.seen.desired.replicas <= 1 || others.next().is_some()
}
