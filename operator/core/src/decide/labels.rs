//! Role labels follow what was published; they hold nothing up.

use super::{Aside, Master, Say, View};
use crate::names;
use crate::observed::{Instance, Observed};
use crate::plan::{Label, Plan, Step};
use crate::record::Stage;
use std::collections::BTreeMap;
use std::time::Duration;

/// A link that has been down this long takes a replica out of the `-replica` Service.
const OUT_OF_SYNC: Duration = Duration::from_secs(3);

/// Pods that were given `role=master`, by uid: their version before. A copy with that version does not show it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled(BTreeMap<String, String>);

impl Labelled {
    /// Forgets those whose copies show something newer.
    pub(crate) fn note(&mut self, seen: &Observed) {
        self.0.retain(|uid, before| {
            seen.instances
                .values()
                .any(|it| it.uid == *uid && it.resource_version == *before)
        });
    }

    /// Remembers those that a plan labels.
    pub(crate) fn settle(&mut self, plan: &Plan) {
        for step in &plan.steps {
            if let Step::Label {
                uid,
                resource_version,
                label: Label::Master,
                ..
            } = step
            {
                self.0.insert(uid.clone(), resource_version.clone());
            }
        }
    }

    fn is_unseen(&self, instance: &Instance) -> bool {
        self.0.get(&instance.uid) == Some(&instance.resource_version)
    }
}

/// Labels the master and the synced replicas. The new master's label comes after the old one's is off, in one plan: at no
/// moment do two pods carry `role=master`. Nor if the copy of the pod that was labelled last is late: its label is taken off
/// by that copy's version first, which the API server refuses if it was put on.
pub(super) fn label(view: &View, aside: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    let (mut off, mut unseen, mut on) = (vec![], vec![], vec![]);
    for instance in view.seen.instances.values() {
        let now = current(instance);
        let wanted = if instance.uid == master.instance.uid {
            Label::Master
        } else {
            replica(view, instance, now, aside)
        };
        let is_unseen = view.seen.memory.labelled.is_unseen(instance);
        if now == Some(wanted) && (wanted == Label::Master || !is_unseen) {
            continue;
        }
        let step = Step::Label {
            pod: instance.pod.clone(),
            uid: instance.uid.clone(),
            resource_version: instance.resource_version.clone(),
            label: wanted,
        };
        if wanted == Label::Master {
            on.push(step)
        } else if now == Some(wanted) {
            unseen.push(step)
        } else {
            off.push(step)
        }
    }
    if !on.is_empty() {
        off.append(&mut unseen);
    }
    off.append(&mut on);
    (!off.is_empty()).then_some((off, "label"))
}

fn current(instance: &Instance) -> Option<Label> {
    match instance.label.as_deref() {
        None => Some(Label::None),
        Some(names::ROLE_MASTER) => Some(Label::Master),
        Some(names::ROLE_REPLICA) => Some(Label::Replica),
        Some(_) => None,
    }
}

/// Full and linked: a replica. Joining again after a failover, with its data: as it was. Else nothing.
fn replica(view: &View, instance: &Instance, now: Option<Label>, aside: &mut Aside) -> Label {
    let was = now == Some(Label::Replica);
    let Some(answer) = instance.answer() else {
        let member = view.record.members.get(&instance.pod);
        let stays = member.is_some_and(|it| it.process.uid == instance.uid && it.stage != Stage::Leaving);
        return if was && stays { Label::Replica } else { Label::None };
    };
    let Some(member) = view.record.member(&instance.uid, &answer.replication.run_id) else {
        return Label::None;
    };
    let Some(upstream) = &answer.replication.upstream else {
        return Label::None;
    };
    let down = upstream.down_seconds.map(Duration::from_secs);
    let left = down.map_or(OUT_OF_SYNC, |down| OUT_OF_SYNC.saturating_sub(down));
    let out = left.is_zero() || answer.replication.loading;
    match member.stage {
        Stage::Full if upstream.link_up && answer.serves => Label::Replica,
        Stage::Full | Stage::Joining if answer.serves && !out && was => {
            aside.wake(left);
            Label::Replica
        }
        Stage::Full | Stage::Joining | Stage::Leaving => Label::None,
    }
}
