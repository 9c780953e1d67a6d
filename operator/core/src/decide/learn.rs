//! What is known of a recorded process only later.

use super::{Aside, Master, Say, View};
use crate::plan::Step;
use crate::record::{Process, Stage};

/// Names the container of each recorded process as soon as the status does: it lags behind the process, and without the
/// name its end could not be proved from the status. A name that turns out to be of another container, which has
/// terminated while the process answers, is forgotten, for it would prove an end that is none.
pub(super) fn learn(view: &View, _: &mut Aside) -> Say {
    let Master::Serves(_) = view.master() else {
        return None;
    };
    let mut next = view.next();
    let members = next.members.values_mut().map(|member| &mut member.process);
    let mut learnt = false;
    for process in next.master.iter_mut().chain(members) {
        if let Some(container) = news(view, process) {
            process.container = container;
            learnt = true;
        }
    }
    if learnt {
        return Some((vec![Step::Record(next)], "the containers of processes are known"));
    }
    for pod in written(view) {
        next.note_file(pod, false);
        learnt = true;
    }
    learnt.then(|| (vec![Step::Record(next)], "append-only files are complete"))
}

/// Pods whose append-only file is complete now, and was not: those of the master and of the members in sync with it.
fn written<'a>(view: &View<'a>) -> impl Iterator<Item = &'a str> {
    let master = view.record.master.as_ref().and_then(|master| view.living(master));
    let full = view.living_at(Stage::Full).map(|(_, living)| living);
    let all = master.into_iter().chain(full);
    let all = all.filter(|it| view.record.unwritten.contains(&it.instance.pod) && !it.answer.replication.rewriting);
    all.map(|it| it.instance.pod.as_str())
}

fn news(view: &View, process: &Process) -> Option<Option<String>> {
    let living = view.living(process)?;
    let now = living.instance.process()?.container;
    let wrong = process
        .container
        .as_ref()
        .is_some_and(|id| living.instance.container.terminated.contains(id));
    (now != process.container && (now.is_some() || wrong)).then_some(now)
}
