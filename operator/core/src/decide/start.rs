//! There is no record: adopt a master that serves, or start for the first time.

use super::elect::promotion;
use super::heal::outdated;
use super::restart::{forced, freeze_all, one_with_data, ready, wait_for_all};
use super::view::{Living, View};
use super::{Aside, Say};
use crate::observed::Observed;
use crate::plan::{Reason, Step};
use crate::record::{Member, Phase, Record, Stage};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the first start waits for pods that cannot hold data, so that the lowest ordinal becomes master.
const FRESH: Duration = Duration::from_secs(10);

/// No record. A master that answers is adopted, never replaced; without one, all are fenced and one is chosen.
pub(super) fn start(seen: &Observed, aside: &mut Aside) -> Say {
    let stuck = outdated(seen, |pod| {
        pod.container.id.is_none() || seen.desired.durable || pod.last.is_none()
    });
    if !stuck.is_empty() {
        return Some((
            stuck,
            "first start: replace pods of an outdated revision that cannot run",
        ));
    }
    let ready = ready(seen);
    let masters: Vec<_> = ready.iter().copied().filter(|it| it.instance.is_master()).collect();
    match masters.as_slice() {
        [] => first_start(seen, &ready, aside),
        [master] => Some((adopt(seen, *master, &ready)?, "adopt the serving master")),
        several => {
            let names: Vec<_> = several.iter().map(|it| it.instance.pod.as_str()).collect();
            aside.note(
                Reason::TwoMasters,
                format!(
                    "there is no record and several instances take writes: {}; make all but one a replica (REPLICAOF)",
                    names.join(", ")
                ),
            );
            None
        }
    }
}

fn adopt(seen: &Observed, master: Living, ready: &[Living]) -> Option<Vec<Step>> {
    let it = &master.answer.replication;
    let mut record = begun(seen, "Adopted");
    record.phase = Phase::Steady;
    record.id.clone_from(&it.id);
    record.previous_id.clone_from(&it.id2);
    record.promoted_at = it.forked_at.unwrap_or_default();
    record.master = master.instance.process();
    let follows = |other: &&Living| {
        other
            .answer
            .replication
            .upstream
            .as_ref()
            .is_some_and(|up| up.host == master.instance.address)
    };
    let joining = |other: &Living| {
        let process = other.instance.process()?;
        Some((
            process.pod.clone(),
            Member {
                process,
                stage: Stage::Joining,
            },
        ))
    };
    record.members = ready
        .iter()
        .filter(follows)
        .filter_map(joining)
        .collect::<BTreeMap<_, _>>();
    record.master.is_some().then(|| vec![Step::Record(record)])
}

fn first_start(seen: &Observed, ready: &[Living], aside: &mut Aside) -> Say {
    let patience = (!seen.desired.durable).then_some(FRESH);
    if let Some(say) = wait_for_all(seen, seen.memory.first_seen, patience, ready, aside) {
        return Some(say);
    }
    if let Some(freezes) = freeze_all(ready) {
        return Some((freezes, "first start: freeze"));
    }
    let chosen = match choose(seen, ready) {
        Ok(chosen) => chosen,
        Err(text) => {
            aside.note(Reason::AmbiguousData, text);
            return None;
        }
    };
    let record = begun(seen, "First start");
    let view = View::new(seen, &record);
    Some((promotion(&view, record.clone(), chosen)?, "first start: promote"))
}

/// No data anywhere: the lowest ordinal. One history: its most advanced instance. Else nobody.
fn choose<'a>(seen: &Observed, ready: &[Living<'a>]) -> Result<Living<'a>, String> {
    let eligible: Vec<_> = ready
        .iter()
        .copied()
        .filter(|it| it.answer.replication.priority > 0)
        .collect();
    if let Some(forced) = forced(seen, &eligible) {
        return Ok(forced);
    }
    let holders: Vec<_> = eligible
        .iter()
        .copied()
        .filter(|it| it.answer.replication.keys > 0)
        .collect();
    let placed = holders.iter().all(|it| it.answer.replication.placed);
    let same = holders.windows(2).all(|pair| match pair {
        [a, b] => a.answer.replication.id == b.answer.replication.id,
        _ => true,
    });
    match holders
        .iter()
        .max_by_key(|it| (it.answer.replication.offset, std::cmp::Reverse(it.instance.ordinal)))
    {
        Some(most) if placed && same => Ok(*most),
        _ => one_with_data(&eligible, |_| true),
    }
}

fn begun(seen: &Observed, reason: &str) -> Box<Record> {
    let mut record = Record::first(&seen.holder);
    record.seq = 1;
    record.term = 1;
    record.phase = Phase::Promoting;
    record.since = seen.clock.to_string();
    record.reason = reason.to_owned();
    Box::new(record)
}
