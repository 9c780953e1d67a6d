//! What a pod's status says of a recorded process only later.

use super::{Aside, Master, Say, View};
use crate::plan::Step;
use crate::record::Process;

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
    learnt.then(|| (vec![Step::Record(next)], "the containers of processes are known"))
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
