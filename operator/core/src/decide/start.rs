//! There is no record: adopt a master that serves, or start for the first time.

use super::adopt::{self, Serving};
use super::elect::promotion;
use super::heal::outdated;
use super::restart::{PATIENCE, freeze_all, ready, wait_for_all};
use super::view::{Living, View};
use super::{Aside, Say, data};
use crate::observed::{Instance, Observed, Reach};
use crate::plan::Reason;
use crate::record::{Phase, Record};
use std::time::Duration;

/// How long the first start waits for pods that cannot hold data, so that the lowest ordinal becomes master.
const FRESH: Duration = Duration::from_secs(10);

/// No record. A master that answers is adopted, never replaced; without one, all are fenced and one is chosen.
pub(super) fn start(seen: &Observed, aside: &mut Aside) -> Say {
    let stuck = outdated(seen, |pod| {
        pod.container.id.is_none() || seen.desired.volumes || pod.last.is_none()
    });
    if !stuck.is_empty() {
        return Some((
            stuck,
            "first start: replace pods of an outdated revision that cannot run",
        ));
    }
    match adopt::serving(seen, aside) {
        Serving::One(master) if master.instance.attached => {
            let steps = adopt::adopt(seen, begun(seen, "Adopted"), master)?;
            Some((steps, "adopt the serving master"))
        }
        Serving::One(_) | Serving::Several => Some((vec![], "wait for the serving master")),
        Serving::Nobody => first_start(seen, &ready(seen), aside),
    }
}

fn first_start(seen: &Observed, ready: &[Living], aside: &mut Aside) -> Say {
    let fresh = !seen.desired.volumes && !seen.instances.values().any(has_a_past);
    let patience = if fresh { FRESH } else { PATIENCE };
    if let Some(say) = wait_for_all(seen, seen.memory.recordless_since, patience, ready, aside) {
        return Some(say);
    }
    if let Some(freezes) = freeze_all(ready) {
        return Some((freezes, "first start: freeze"));
    }
    let named = data::named(seen.desired.elect.as_ref(), ready);
    let evident = choose(seen, ready);
    let by_name = evident.is_err();
    let chosen = match evident.or_else(|text| named.ok_or(text)) {
        Ok(chosen) => chosen,
        Err(text) => {
            let name = seen.desired.elect.as_ref();
            aside.note(Reason::AmbiguousData, data::undecided(text, name, ready));
            return None;
        }
    };
    let mut record = begun(seen, "First start");
    if by_name {
        record.copies.extend(data::given_up(ready, chosen));
    }
    let view = View::new(seen, &record);
    Some((promotion(&view, record.clone(), chosen)?, "first start: promote"))
}

/// It is no process that has just begun with nothing: the record was lost, and there is more to wait for.
fn has_a_past(instance: &Instance) -> bool {
    match &instance.reach {
        Reach::Answers(answer) => {
            let it = &answer.replication;
            it.loading || it.keys > 0 || it.placed || !it.is_frozen()
        }
        Reach::Alive(_) => true,
        Reach::Untried | Reach::Refused { .. } | Reach::Silent { .. } => false,
    }
}

/// No data anywhere: the lowest ordinal. One history: its most advanced instance. Else nobody.
fn choose<'a>(seen: &Observed, ready: &[Living<'a>]) -> Result<Living<'a>, String> {
    let holders = data::holders(ready);
    if holders.is_empty() {
        return data::first(seen, ready);
    }
    data::promotable(data::of_one_history(&holders)?)
}

fn begun(seen: &Observed, reason: &str) -> Box<Record> {
    let mut record = Record::first(&seen.holder);
    record.seq = 1;
    // The terms of a record that was lost went up to there: none of them begins twice.
    record.term = seen.slice.as_ref().map_or(0, |slice| slice.term).saturating_add(1);
    record.phase = Phase::Promoting;
    record.since = seen.clock.to_string();
    record.reason = reason.to_owned();
    // Without it every pod that was made after a restart would be one of another spec.
    record.restarted.clone_from(&seen.desired.restarted);
    Box::new(record)
}
