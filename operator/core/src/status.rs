//! What the operator tells people: status and conditions, computed from an observation and its plan.

mod facts;
mod why;

use crate::api::{Answer, Instance as Row, MasterChange, Redis, RedisStatus};
use crate::conditions::{Wanted, merge};
use crate::names;
use crate::observed::{Instance, Observed, Paused, Reach};
use crate::plan::Plan;
use crate::record::{Record, Stage};
use facts::Facts;
use kube::ResourceExt;
use why::is_busy;

/// Something that a person has to put right, found outside of the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One CamelCase word.
    pub reason: String,
    /// A sentence that names the field or object, and the remedy.
    pub message: String,
}

/// The latest change of master that an operator has brought to its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Unplanned.
    Failover(MasterChange),
    /// Planned.
    Switchover(MasterChange),
}

/// Computes the status of a resource. The record is not part of it: only the record's own writes touch that.
pub fn status(redis: &Redis, seen: &Observed, plan: &Plan, troubles: &[Trouble], last: Option<Change>) -> RedisStatus {
    let before = redis.status.clone().unwrap_or_default();
    let record = seen.record.record();
    let facts = Facts::of(seen, record);
    let generation = redis.metadata.generation;
    let wanted = facts.conditions(redis, seen, plan, troubles);
    let wants = seen.desired.replicas;
    let (last_failover, last_switchover) = match last {
        Some(Change::Failover(it)) => (Some(it), None),
        Some(Change::Switchover(it)) => (None, Some(it)),
        None => (None, None),
    };
    RedisStatus {
        observed_generation: generation,
        replicas: Some(number(seen.instances.len())),
        ready: Some(format!("{}/{wants}", facts.ready)),
        ready_replicas: Some(number(facts.ready)),
        synced: Some(number(facts.synced)),
        master: facts.master.clone(),
        selector: Some(names::selector_text(&redis.name_any())),
        summary: Some(summary(&wanted)),
        safe_wait: Some(facts.safe_wait),
        instances: seen
            .instances
            .values()
            .map(|instance| row(seen, record, instance))
            .collect(),
        last_failover: last_failover.or(before.last_failover),
        last_switchover: last_switchover.or(before.last_switchover),
        switchover: record.and_then(switchover),
        restart: record.and_then(|record| restart(seen, record, before.restart.as_ref(), facts.is_complete(seen))),
        conditions: merge(&before.conditions, wanted, generation, seen.clock),
        record: None,
    }
}

fn switchover(record: &Record) -> Option<Answer> {
    let request = record.request.as_ref()?;
    Some(Answer {
        request: Some(request.value.clone()).filter(|value| !value.is_empty()),
        outcome: Some(format!("{:?}", request.outcome)),
        reason: Some(request.reason.clone()),
        at: Some(request.at.clone()),
    })
}

/// Once done it stays done: whatever becomes of a pod later has another reason.
fn restart(seen: &Observed, record: &Record, before: Option<&Answer>, complete: bool) -> Option<Answer> {
    let is = |request: &String, outcome: &str, reason: &str| Answer {
        request: Some(request.clone()),
        outcome: Some(outcome.to_owned()),
        reason: Some(reason.to_owned()),
        at: None,
    };
    let open = seen
        .desired
        .restart
        .as_ref()
        .filter(|it| record.restarted.as_ref() != Some(it));
    if let Some(wanted) = open.filter(|_| seen.desired.paused != Paused::No) {
        let why = "the resource is paused: remove the annotation redis-operator.dev/paused first";
        return Some(is(wanted, "Waiting", why));
    }
    let accepted = record.restarted.as_ref()?;
    let done = is(accepted, "Done", "every pod was replaced and is in sync");
    if complete || before == Some(&done) {
        return Some(done);
    }
    Some(is(accepted, "Rolling", "the pods are replaced one after another"))
}

/// Whether two statuses tell a person the same. Offsets and lags move all the time, on an idle server too, and alone
/// are no reason to write: they are as of the last change.
pub fn tells_the_same(a: &RedisStatus, b: &RedisStatus) -> bool {
    let still = |status: &RedisStatus| {
        let mut status = status.clone();
        status.record = None;
        for row in &mut status.instances {
            (row.offset, row.lag) = (None, None);
        }
        status
    };
    still(a) == still(b)
}

fn summary(wanted: &[Wanted]) -> String {
    wanted.first().map_or_else(String::new, |ready| {
        if ready.holds {
            "Ready".to_owned()
        } else {
            ready.reason.clone()
        }
    })
}

fn row(seen: &Observed, record: Option<&Record>, instance: &Instance) -> Row {
    let master = record.and_then(|record| record.master.as_ref());
    let ahead = master
        .and_then(|m| seen.instances.get(&m.pod))
        .and_then(Instance::answer);
    let answer = instance.answer();
    let it = answer.map(|answer| &answer.replication);
    let is_master = master.is_some_and(|m| m.uid == instance.uid && it.is_some_and(|it| it.run_id == m.run_id));
    let member = it.and_then(|it| record?.member(&instance.uid, &it.run_id));
    let state = match (&instance.reach, member.map(|member| member.stage)) {
        (Reach::Answers(_), _) if it.is_some_and(|it| it.loading) => "Loading",
        (Reach::Answers(_), _) if is_master => "Serving",
        (Reach::Answers(_), Some(Stage::Full)) => "Synced",
        (Reach::Answers(_), Some(Stage::Joining)) => "Joining",
        (Reach::Answers(_), Some(Stage::Leaving)) => "Leaving",
        (Reach::Answers(_), None) => "Fenced",
        (Reach::Alive(said), _) if is_busy(said) => "Busy",
        (Reach::Alive(_), _) => "Unreadable",
        (Reach::Refused { .. }, _) => "Down",
        (Reach::Silent { .. }, _) => "Silent",
        (Reach::Untried, _) => "Starting",
    };
    let offset = it.and_then(|it| i64::try_from(it.offset).ok());
    let behind = |ahead: &crate::observed::Answer| {
        Some(
            i64::try_from(ahead.replication.offset)
                .ok()?
                .saturating_sub(offset?)
                .max(0),
        )
    };
    Row {
        pod: instance.pod.clone(),
        role: it.map(|_| {
            if is_master {
                names::ROLE_MASTER
            } else {
                names::ROLE_REPLICA
            }
            .to_owned()
        }),
        offset,
        lag: ahead.and_then(behind).filter(|_| !is_master),
        state: Some(state.to_owned()),
        priority: i32::try_from(instance.priority()).ok(),
        node: Some(instance.node.clone()).filter(|node| !node.is_empty()),
    }
}

fn number(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
