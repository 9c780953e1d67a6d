//! Members that come: recorded joining, a user on the master, told to follow, caught up, recorded full. In this order.

use super::view::Living;
use super::{Aside, Master, Say, View, adopt, roll};
use crate::names;
use crate::observed::Instance;
use crate::plan::{Reason, Step};
use crate::record::Stage;
use std::time::Duration;

/// How soon a member that is in sync is looked at again: it may be full.
const SOON: Duration = Duration::from_millis(10);
/// How soon one that is not.
const LATER: Duration = Duration::from_millis(200);

/// How soon a member that follows the master and has no link to it is told its credentials again, and the master those
/// of its user: they may have been changed by hand, or restored.
pub(crate) const TELL_AGAIN: Duration = Duration::from_secs(10);
/// One that has no link for this long, and no sync going on, will not come by itself: a person is told.
pub(crate) const LINKLESS: Duration = Duration::from_secs(60);

/// Joins while the master serves.
pub(super) fn join(view: &View, aside: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    watch_linkless(view, master, aside);
    rename(view, master)
        .or_else(|| demote(view, master, aside))
        .or_else(|| admit(view, master, aside))
        .or_else(|| tell(view, master))
        .or_else(|| complete(view, master, aside))
}

/// The same process with a new id (the first replica ever makes it draw one): recorded before anything else, since
/// offsets are compared under one id only.
fn rename(view: &View, master: Living) -> Say {
    let id = &master.answer.replication.id;
    if *id == view.record.id {
        return None;
    }
    let mut next = view.next();
    next.id.clone_from(id);
    next.previous_id = None;
    Some((vec![Step::Record(next)], "the master drew a new replication id"))
}

/// Whoever else answers as a master: a former one that came back, or one that somebody promoted. Not one that may be ahead of
/// the record, with which others are in sync.
fn demote(view: &View, master: Living, aside: &mut Aside) -> Say {
    let others = view
        .seen
        .instances
        .values()
        .filter(|it| it.is_master() && it.uid != master.instance.uid);
    let mut steps = vec![];
    for instance in others.filter(|instance| instance.attached) {
        if Living::of(instance).is_some_and(|it| adopt::is_ahead(view, it) && adopt::is_followed(view, it)) {
            let text = format!(
                "{}, which the record names, and {}, with which others are in sync, both take writes, and neither history is the other's: make one of them a replica, as the README shows under \"Several masters\"",
                master.instance.pod, instance.pod
            );
            aside.note(Reason::TwoMasters, text);
        } else {
            steps.extend(instance.process().map(Step::Demote));
        }
    }
    (!steps.is_empty()).then_some((steps, "demote who is not the recorded master"))
}

fn admit(view: &View, master: Living, aside: &mut Aside) -> Say {
    // Until this holder has written the StatefulSet, a predecessor's late lowering of it may still take a pod away.
    let touched = view
        .seen
        .set_holder
        .as_ref()
        .is_none_or(|holder| *holder == view.seen.holder);
    if !touched || view.record.at(Stage::Leaving).next().is_some() {
        return None;
    }
    let replaced = roll::turn(view, master).map(|instance| &instance.uid);
    let stranger = |instance: &&Instance| {
        let recorded = view.record.members.contains_key(&instance.pod) || instance.uid == master.instance.uid;
        !recorded && instance.attached && view.is_wanted(instance) && replaced != Some(&instance.uid)
    };
    let strangers: Vec<_> = view.seen.instances.values().filter(stranger).collect();
    let named = view.named() == Some(&master.instance.pod);
    let mut next = view.next();
    for instance in strangers {
        let Some(process) = instance.process().filter(|_| !is_loading(instance)) else {
            continue;
        };
        match is_foreign(view, master, instance) {
            None => {}
            Some(_) if named => next.elected.clone_from(&view.seen.desired.elect),
            Some(text) => {
                aside.note(Reason::ForeignData, text);
                continue;
            }
        }
        next.copies.insert(process.pod.clone());
        next.members.extend([adopt::joining(process)]);
    }
    (next.members.len() > view.record.members.len()).then(|| (vec![Step::Record(next)], "members join"))
}

/// It holds data of a history that never met the master's, and following would wipe it. A pod that had a copy before has
/// nothing else, unless the master has lost everything since.
pub(super) fn is_foreign(view: &View, master: Living, instance: &Instance) -> Option<String> {
    let it = &instance.answer()?.replication;
    let related = it.id == view.record.id || view.record.previous_id.as_ref() == Some(&it.id);
    let copy = view.record.copies.contains(&instance.pod) && master.answer.replication.keys > 0;
    if it.keys == 0 || related || copy {
        return None;
    }
    Some(format!(
        "{} holds {} keys of another history than the master {}: it stays out, so that nothing is wiped. If its data is not wanted: kubectl annotate --overwrite redis NAME redis-operator.dev/elect={}",
        instance.pod, it.keys, master.instance.pod, master.instance.pod
    ))
}

fn is_loading(instance: &Instance) -> bool {
    instance.answer().is_some_and(|answer| answer.replication.loading)
}

/// Users first, on the master; then whoever does not follow it yet is told to.
pub(super) fn tell(view: &View, master: Living) -> Say {
    let on = master.instance.process()?;
    let staying = view
        .record
        .members
        .values()
        .filter(|member| member.stage != Stage::Leaving);
    let living: Vec<_> = staying.filter_map(|member| view.living(&member.process)).collect();
    let users = &master.answer.users;
    let again = |it: &Living| {
        let linkless = view.seen.memory.linkless.get(&it.answer.replication.run_id);
        linkless.is_some_and(|linkless| linkless.is_due(view.seen.now))
    };
    let without = living
        .iter()
        .filter(|it| !users.contains(&names::replication_user(&it.instance.uid)) || again(it));
    let mut steps: Vec<_> = without
        .map(|it| Step::AddUser {
            on: on.clone(),
            uid: it.instance.uid.clone(),
        })
        .collect();
    let astray = living
        .iter()
        .filter(|it| it.instance.attached && (!follows(**it, &on.address) || again(it)));
    let who = astray.filter_map(|it| it.instance.process());
    steps.extend(who.map(|who| Step::Follow {
        who,
        master: on.address.clone(),
    }));
    (!steps.is_empty()).then_some((steps, "follow the master"))
}

impl<'a> View<'a> {
    /// Joining members that follow the serving master, and have neither a link to it nor a full sync going on.
    pub(crate) fn linkless(&self) -> impl Iterator<Item = Living<'a>> {
        let master = match self.master() {
            Master::Serves(master) => Some(master.instance.address.as_str()),
            _ => None,
        };
        let joining = self.living_at(Stage::Joining).map(|(_, living)| living);
        joining.filter(move |it| {
            let upstream = it.answer.replication.upstream.as_ref();
            upstream.is_some_and(|up| Some(up.host.as_str()) == master && !up.link_up && !up.syncing)
        })
    }
}

/// Whoever waits for its link is looked at when it is due, and named when that lasts.
fn watch_linkless(view: &View, master: Living, aside: &mut Aside) {
    let (now, memory) = (view.seen.now, &view.seen.memory);
    for it in view.linkless() {
        let Some(linkless) = memory.linkless.get(&it.answer.replication.run_id) else {
            continue;
        };
        aside.wake(TELL_AGAIN.saturating_sub(now.since(linkless.told)));
        if linkless.lasts(now) {
            let text = format!(
                "{} follows master {} and has had no link to it since {:.0}; it is told to follow again every {} s. Is there a network policy or a firewall between them? Its log says more: kubectl logs pod/{}",
                it.instance.pod,
                master.instance.pod,
                linkless.clock,
                TELL_AGAIN.as_secs(),
                it.instance.pod
            );
            aside.note(Reason::MemberWithoutLink, text);
        }
    }
}

fn follows(it: Living, master: &str) -> bool {
    let upstream = it.answer.replication.upstream.as_ref();
    upstream.is_some_and(|up| up.host == master) && it.answer.attaches_as == names::replication_user(&it.instance.uid)
}

fn complete(view: &View, master: Living, aside: &mut Aside) -> Say {
    let mut next = view.next();
    let mut complete = false;
    for (member, living) in view.living_at(Stage::Joining) {
        if !view.has_reached(living, master) {
            aside.wake(if is_alive(living) { SOON } else { LATER });
            continue;
        }
        if let Some(member) = next.members.get_mut(&member.process.pod) {
            (member.stage, member.was_full) = (Stage::Full, false);
            complete = true;
        }
        next.copies.insert(living.instance.pod.clone());
        next.note_file(&living.instance.pod, living.answer.replication.rewriting);
    }
    complete.then(|| (vec![Step::Record(next)], "members are full"))
}

/// Its link is up, and something came over it lately: it will be there soon.
fn is_alive(replica: Living) -> bool {
    let upstream = replica.answer.replication.upstream.as_ref();
    upstream.is_some_and(|up| up.link_up && up.heard_seconds.is_some_and(|seconds| seconds < 2))
}
