//! What is left to put right on a serving set: fences to open, clients to send away, pods stuck in a back-off.

use super::{Aside, Master, Say, View};
use crate::observed::{Instance, Observed};
use crate::plan::Step;
use crate::record::Stage;
use std::time::Duration;

/// Restarts after which a back-off is long enough to be worth a new pod, whose back-off starts afresh.
const RESTARTS: u32 = 4;
/// How long such a pod stays in its back-off first.
const BACK_OFF: Duration = Duration::from_secs(30);

/// Opens the fence of the master and of full members, and closes the applications' connections to instances that
/// nobody should talk to yet and that somebody does.
pub(super) fn heal(view: &View, _: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    let full = view.living_at(Stage::Full).map(|(_, living)| living);
    let synced = full.filter(|it| it.instance.attached && view.has_reached(*it, master));
    let closed = synced.chain([master]).filter(|it| !it.answer.serves);
    let mut steps: Vec<_> = closed
        .filter_map(|it| Some(Step::Serve(it.instance.process()?)))
        .collect();
    let stuck = view
        .seen
        .instances
        .values()
        .filter(|i| i.uid != master.instance.uid && has_stuck_clients(view, i));
    steps.extend(stuck.filter_map(|instance| Some(Step::CutClients(instance.process()?))));
    (!steps.is_empty()).then_some((steps, "heal"))
}

/// Fenced, and since the last pass commands were refused there: a client still ends up here, and a plain one would
/// stay. Readers of healthy replicas are never cut.
fn has_stuck_clients(view: &View, instance: &Instance) -> bool {
    let Some(answer) = instance.answer().filter(|answer| instance.attached && !answer.serves) else {
        return false;
    };
    let before = view.seen.memory.misdirected.get(&answer.replication.run_id);
    before.is_some_and(|before| answer.replication.misdirected > *before)
}

/// A pod in a long back-off that no record needs: a new one tries at once, so that a cause that is gone does not keep
/// it away for five minutes.
pub(super) fn replace_stuck(view: &View, aside: &mut Aside) -> Say {
    let named = |uid: &str| view.record.processes().any(|process| process.uid == uid);
    let candidates = view
        .seen
        .instances
        .values()
        .filter(|i| i.container.restarts >= RESTARTS && !named(&i.uid));
    let mut steps = vec![];
    for instance in candidates.filter(|instance| !instance.deleting && !View::is_up(instance)) {
        let Some(since) = view.seen.memory.backing_off.get(&instance.uid) else {
            continue;
        };
        let waited = view.seen.now.since(*since);
        if waited < BACK_OFF {
            aside.wake(BACK_OFF.saturating_sub(waited));
            continue;
        }
        let (pod, uid) = (instance.pod.clone(), instance.uid.clone());
        steps.push(Step::DeletePod {
            pod,
            uid,
            resource_version: instance.resource_version.clone(),
        });
    }
    (!steps.is_empty()).then_some((steps, "replace pods in a long back-off"))
}

/// A pod of an outdated revision that cannot run, and that no record needs: its successor may. So a spec that was
/// corrected is enough. What may hold data that nobody else has is left alone.
pub(super) fn replace_outdated(view: &View, _: &mut Aside) -> Say {
    let serves = matches!(view.master(), Master::Serves(_));
    let named = |uid: &str| view.record.processes().any(|process| process.uid == uid);
    let steps = outdated(view.seen, |instance| {
        !named(&instance.uid) && (serves || instance.container.id.is_none())
    });
    (!steps.is_empty()).then_some((steps, "replace pods of an outdated revision that cannot run"))
}

/// Deletions of the outdated pods that cannot run, as far as they are `dispensable`.
pub(super) fn outdated(seen: &Observed, dispensable: impl Fn(&Instance) -> bool) -> Vec<Step> {
    let cannot_run = |i: &&Instance| i.outdated && i.trouble.is_some() && !i.deleting && !View::is_up(i);
    let stuck = seen
        .instances
        .values()
        .filter(cannot_run)
        .filter(|instance| dispensable(instance));
    let delete = |instance: &Instance| Step::DeletePod {
        pod: instance.pod.clone(),
        uid: instance.uid.clone(),
        resource_version: instance.resource_version.clone(),
    };
    stuck.map(delete).collect()
}
