//! Nobody who holds what the record speaks of lives any more: a power cut, all pods deleted, or one instance alone.

use super::elect::promotion;
use super::view::Living;
use super::{Aside, Say, View};
use crate::observed::{Instance, Moment, Observed};
use crate::plan::{Reason, Step};
use crate::record::Phase;
use std::time::Duration;

/// How long a restart, and a first start on volumes, waits for pods that do not answer or still load.
const PATIENCE: Duration = Duration::from_secs(60);

/// After every wanted and every existing pod has answered with its dataset loaded, or a minute: the best evidence wins,
/// and where evidence differs nobody does.
pub(super) fn restart(view: &View, aside: &mut Aside) -> Say {
    if !view.nobody_lives() {
        return None;
    }
    let ready = ready(view.seen);
    let patience = if view.seen.memory.nobody_since.is_none() {
        None
    } else {
        Some(PATIENCE)
    };
    if let Some(say) = wait_for_all(view.seen, view.seen.memory.nobody_since, patience, &ready, aside) {
        return Some(say);
    }
    if let Some(freezes) = freeze_all(&ready) {
        return Some((freezes, "restart: freeze"));
    }
    let chosen = match choose(view, &ready) {
        Ok(chosen) => chosen,
        Err(text) => {
            aside.note(Reason::AmbiguousData, text);
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
    Some((promotion(view, next, chosen)?, "restart: promote"))
}

/// Instances that answer with their dataset loaded and may be told things.
pub(super) fn ready(seen: &Observed) -> Vec<Living<'_>> {
    let living = seen.instances.values().filter_map(|instance| {
        Some(Living {
            instance,
            answer: instance.answer()?,
        })
    });
    living
        .filter(|it| it.instance.attached && !it.answer.replication.loading)
        .collect()
}

/// Waits until every wanted and every existing pod is among `ready`, at most for `patience` since `since`.
pub(super) fn wait_for_all(
    seen: &Observed,
    since: Option<Moment>,
    patience: Option<Duration>,
    ready: &[Living],
    aside: &mut Aside,
) -> Say {
    let is_ready = |instance: &Instance| ready.iter().any(|it| it.instance.uid == instance.uid);
    let mut missing: Vec<_> = seen
        .instances
        .values()
        .filter(|i| !is_ready(i))
        .map(|i| i.pod.clone())
        .collect();
    let exists = |ordinal: &u32| seen.instances.values().any(|instance| instance.ordinal == *ordinal);
    missing.extend(
        (0..seen.desired.replicas)
            .filter(|n| !exists(n))
            .map(|n| format!("ordinal {n}")),
    );
    if missing.is_empty() {
        return None;
    }
    let waited = since.map_or(Duration::ZERO, |since| seen.now.since(since));
    let bound = patience.unwrap_or(PATIENCE);
    if waited >= bound && !ready.is_empty() {
        return None;
    }
    aside.wake(bound.saturating_sub(waited).max(Duration::from_millis(200)));
    let text = format!(
        "no instance serves; waiting up to {} s for: {}",
        bound.as_secs(),
        missing.join(", ")
    );
    aside.note(Reason::WaitingForPods, text);
    Some((vec![], "wait for pods"))
}

/// Everybody is frozen before data is compared. None when all are.
pub(super) fn freeze_all(ready: &[Living]) -> Option<Vec<Step>> {
    let loose = ready.iter().filter(|it| !it.answer.replication.is_frozen());
    let steps: Vec<_> = loose
        .filter_map(|it| Some(Step::Freeze(it.instance.process()?)))
        .collect();
    (!steps.is_empty()).then_some(steps)
}

fn choose<'a>(view: &View, ready: &[Living<'a>]) -> Result<Living<'a>, String> {
    let eligible: Vec<_> = ready
        .iter()
        .copied()
        .filter(|it| it.answer.replication.priority > 0)
        .collect();
    if let Some(forced) = forced(view.seen, &eligible) {
        return Ok(forced);
    }
    let was_master = |it: &&Living| view.record.master.as_ref().is_some_and(|m| m.pod == it.instance.pod);
    let holds = |it: &&Living| it.answer.replication.keys > 0;
    let ids_are_lost = view.seen.desired.replicas == 1 || eligible.iter().any(|it| it.answer.replication.appendonly);
    if let Some(master) = eligible.iter().filter(holds).find(|it| ids_are_lost && was_master(it)) {
        return Ok(*master);
    }
    let recorded = |it: &&Living| it.answer.replication.placed && it.answer.replication.id == view.record.id;
    let most = eligible
        .iter()
        .filter(recorded)
        .filter(holds)
        .max_by_key(|it| (it.answer.replication.offset, std::cmp::Reverse(it.instance.ordinal)));
    if let Some(most) = most {
        return Ok(*most);
    }
    let known = |it: &&Living| view.record.members.contains_key(&it.instance.pod) || was_master(it);
    if let Some(first) = alike(&eligible, known) {
        return Ok(first);
    }
    one_with_data(&eligible, known)
}

/// Their ids are lost, but all that hold data were members to the end and hold as many keys: they followed one master,
/// and any of them will do.
fn alike<'a>(eligible: &[Living<'a>], known: impl Fn(&&Living) -> bool) -> Option<Living<'a>> {
    let holders: Vec<_> = eligible.iter().filter(|it| it.answer.replication.keys > 0).collect();
    let keys = holders.first()?.answer.replication.keys;
    let same = |it: &&&Living| known(it) && it.answer.replication.keys == keys;
    let alike = holders.iter().filter(same).count() == holders.len();
    holders
        .into_iter()
        .copied()
        .min_by_key(|it| it.instance.ordinal)
        .filter(|_| alike)
}

/// The one that a person named: `redis-operator.dev/elect: <pod>`.
pub(super) fn forced<'a>(seen: &Observed, eligible: &[Living<'a>]) -> Option<Living<'a>> {
    let name = seen.desired.elect.as_ref()?;
    eligible.iter().copied().find(|it| &it.instance.pod == name)
}

/// Nobody holds data: the lowest ordinal. Exactly one does, and `known` admits it: that one. Else a sentence.
pub(super) fn one_with_data<'a>(
    eligible: &[Living<'a>],
    known: impl Fn(&&Living) -> bool,
) -> Result<Living<'a>, String> {
    let holders: Vec<_> = eligible.iter().filter(|it| it.answer.replication.keys > 0).collect();
    match holders.as_slice() {
        [] => eligible
            .iter()
            .copied()
            .min_by_key(|it| it.instance.ordinal)
            .ok_or_else(|| "no instance answers that may be promoted (replica-priority 0 is never)".to_owned()),
        [one] if known(one) => Ok(**one),
        _ => {
            let counts: Vec<_> = holders
                .iter()
                .map(|it| format!("{} has {} keys", it.instance.pod, it.answer.replication.keys))
                .collect();
            Err(format!(
                "instances hold data of unrelated histories and nothing says which is the right one: {}. Name one: kubectl annotate redis NAME redis-operator.dev/elect=POD. The others' data is then replaced by a copy of its",
                counts.join(", ")
            ))
        }
    }
}
