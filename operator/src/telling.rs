//! What people are told in events: one for each change.

use crate::events::{Events, Kind};
use crate::trace::{Cause, Replaced, Trace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use redis_operator_core::api::{Answer, Redis, RedisStatus};
use redis_operator_core::observed::{Instance, Moment, Observed};
use redis_operator_core::plan::{Reason, Step};
use redis_operator_core::record::Record;
use redis_operator_core::status::Change;

/// What was told of one resource, and the failover under way. Lost with the process: then the resource's status says what
/// was told before.
#[derive(Default)]
pub struct Telling {
    trace: Trace,
    last: Option<Replaced>,
    told: Option<Vec<String>>,
}

impl Telling {
    /// A pass begins with this observation.
    pub fn observe(&mut self, seen: &Observed) {
        self.trace.observe(seen);
    }

    /// The last change of master that this process completed.
    pub fn last(&self) -> Option<Change> {
        let last = self.last.as_ref()?;
        let told = last.told.clone();
        Some(match last.cause {
            Some(_) => Change::Failover(told),
            None => Change::Switchover(told),
        })
    }

    /// What had befallen its master; none if it was planned, or there was none.
    pub fn cause(&self) -> Option<Cause> {
        self.last.as_ref()?.cause
    }

    /// A step was done. Gives the change of master that it completes.
    pub fn step(
        &mut self,
        events: &Events,
        redis: &Redis,
        seen: &Observed,
        step: &Step,
        now: Moment,
    ) -> Option<&Replaced> {
        if let Some((kind, note)) = beginning(seen, step) {
            events.tell(redis, kind, "TermBegan", "Elect", note);
        }
        let last = self.trace.done(seen, step, now)?;
        tell_failover(events, redis, &last);
        Some(self.last.insert(last))
    }

    /// The status is this now: an event for each condition that begins, or begins to have another reason, and one for each
    /// request that is answered.
    pub fn status(&mut self, events: &Events, redis: &Redis, status: &RedisStatus) {
        let before = redis.status.as_ref();
        let told = self.told.take().or_else(|| Some(keys(&before?.conditions)));
        let told = told.unwrap_or_default();
        let stalled = status.conditions.iter().any(|it| it.type_ == "Stalled" && holds(it));
        for condition in news(&status.conditions) {
            if told.contains(&key(condition)) {
                continue;
            }
            let (reason, kind) = match condition.type_.as_str() {
                "Paused" => (PAUSED, Kind::Normal),
                _ if stalled => (condition.reason.as_str(), Kind::Warning),
                _ => (condition.reason.as_str(), Kind::Normal),
            };
            let message = &condition.message;
            events.tell(redis, kind, reason, "Observe", message.clone());
            tracing::info!(redis = name_of(redis), reason, message, "state");
        }
        let now = keys(&status.conditions);
        let paused = |all: &[String]| all.iter().any(|key| key.starts_with(PAUSED));
        if paused(&told) && !paused(&now) {
            let note = "the resource is no longer paused";
            events.tell(redis, Kind::Normal, "Resumed", "Observe", note);
        }
        self.told = Some(now);
        let switchover = before.and_then(|status| status.switchover.as_ref());
        tell_answer(events, redis, "Switchover", switchover, status.switchover.as_ref());
        let restart = before.and_then(|status| status.restart.as_ref());
        tell_answer(events, redis, "Restart", restart, status.restart.as_ref());
    }
}

const PAUSED: &str = "Paused";

fn tell_failover(events: &Events, redis: &Redis, last: &Replaced) {
    let (from, to) = (
        last.told.from.clone().unwrap_or_default(),
        last.told.to.clone().unwrap_or_default(),
    );
    let millis = last.took.as_millis();
    if last.cause.is_none() {
        let note = format!("{to} took over from {from}, {millis} ms after {from} had stopped taking writes");
        events.tell(redis, Kind::Normal, "SwitchedOver", "Switchover", note);
    } else {
        let missing = match last.told.bytes_possibly_lost {
            Some(bytes) => format!("{bytes} bytes of its stream, as its last answer showed it, are missing"),
            None => "how much of its stream is missing is not known".to_owned(),
        };
        let note = format!("{to} replaced {from} {millis} ms after the fault was noticed; {missing}");
        events.tell(redis, Kind::Warning, "FailedOver", "Failover", note);
    }
}

/// The sentence for a term that begins in another way than by a failover: a first start, a restart of everybody, or a
/// master that serves although the record does not say so.
fn beginning(seen: &Observed, step: &Step) -> Option<(Kind, String)> {
    let Step::Record(next) = step else { return None };
    let before = seen.record.record();
    if before.is_some_and(|before| before.term == next.term) {
        return None;
    }
    let is = |what: &str| next.reason.starts_with(what);
    if is("Adopted") {
        return Some((Kind::Warning, adopted(before, next)?));
    }
    let chosen = &next.claim.as_ref()?.process.pod;
    if is("Restarted") {
        return Some((Kind::Warning, format!("{}{}", next.reason, beside(seen, chosen))));
    }
    if !is("First start") {
        return None;
    }
    if seen.instances.values().all(|it| keys_of(it) == 0) {
        return Some((
            Kind::Normal,
            format!("First start: {chosen} was chosen, nobody holds data"),
        ));
    }
    let keys = seen.instances.get(chosen).map_or(0, keys_of);
    let others = beside(seen, chosen);
    let note = format!("First start: {chosen} was chosen with {keys} keys{others}");
    Some((Kind::Warning, note))
}

fn adopted(before: Option<&Record>, next: &Record) -> Option<String> {
    let master = &next.master.as_ref()?.pod;
    let recorded = before.and_then(|record| record.master.as_ref());
    Some(match recorded {
        Some(other) => format!(
            "Adopted: {master} serves although the record named {}: somebody promoted it by hand, or status.record is an older one",
            other.pod
        ),
        None => format!("Adopted: {master} serves and there was no record of it: status.record is new, or was lost"),
    })
}

/// What others hold beside the chosen one.
fn beside(seen: &Observed, chosen: &str) -> String {
    let others = seen.instances.values().filter(|it| it.pod != chosen && keys_of(it) > 0);
    let others = others.map(|it| format!("{} has {}", it.pod, keys_of(it)));
    let others = others.collect::<Vec<_>>().join(", ");
    if others.is_empty() {
        others
    } else {
        format!("; beside it {others}")
    }
}

fn keys_of(instance: &Instance) -> u64 {
    instance.answer().map_or(0, |answer| answer.replication.keys)
}

/// The conditions of which people are told: `Ready`, and what else holds and says something else.
fn news(conditions: &[Condition]) -> Vec<&Condition> {
    // that it is paused says the condition of that name
    let ready = conditions.iter().find(|it| it.type_ == "Ready" && it.reason != PAUSED);
    let apart = |it: &&Condition| holds(it) && ready.is_none_or(|ready| ready.message != it.message);
    let others = conditions
        .iter()
        .filter(|it| ["Stalled", PAUSED].contains(&it.type_.as_str()));
    ready.into_iter().chain(others.filter(apart)).collect()
}

fn holds(condition: &Condition) -> bool {
    condition.status == "True"
}

fn keys(conditions: &[Condition]) -> Vec<String> {
    news(conditions).into_iter().map(key).collect()
}

/// What makes a condition another one: its reason, whichever condition shows it. An annotation that makes no sense is
/// another one when it says something else.
fn key(condition: &Condition) -> String {
    let Condition {
        type_, reason, message, ..
    } = condition;
    if type_ == PAUSED {
        return format!("{PAUSED} {reason}");
    }
    if *reason == format!("{:?}", Reason::AnnotationUnclear) {
        return format!("{reason} {message}");
    }
    reason.clone()
}

fn tell_answer(events: &Events, redis: &Redis, what: &str, before: Option<&Answer>, now: Option<&Answer>) {
    let Some(answer) = now.filter(|now| before.is_none_or(|it| (&it.outcome, &it.at) != (&now.outcome, &now.at)))
    else {
        return;
    };
    let (Some(outcome), Some(reason)) = (&answer.outcome, &answer.reason) else {
        return;
    };
    let kind = match outcome.as_str() {
        "Begun" => return,
        "Done" | "Rolling" => Kind::Normal,
        _ => Kind::Warning,
    };
    let asked = answer.request.as_deref().unwrap_or_default();
    let note = format!("{what} {asked}: {reason}");
    events.tell(redis, kind, &format!("{what}{outcome}"), what, note);
}

fn name_of(redis: &Redis) -> String {
    format!(
        "{}/{}",
        redis.metadata.namespace.as_deref().unwrap_or_default(),
        redis.metadata.name.as_deref().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Condition {
        serde_json::from_value(json!({
            "type": type_, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-31T12:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn what_ready_says_already_is_not_told_twice() {
        let told = |ready: &str, stalled: &str, status: &str| {
            let conditions = [
                condition("Stalled", status, "s", stalled),
                condition("Available", "True", "a", "a"),
                condition("Ready", "False", "r", ready),
            ];
            news(&conditions)
                .into_iter()
                .map(|it| it.type_.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(told("x", "y", "True"), ["Ready", "Stalled"]);
        assert_eq!(told("x", "x", "True"), ["Ready"]);
        assert_eq!(told("x", "y", "False"), ["Ready"]);
    }

    #[test]
    fn a_condition_is_another_one_when_its_reason_is() {
        let key = |type_, reason, message| key(&condition(type_, "True", reason, message));
        assert_eq!(key("Ready", "RollStuck", "a"), key("Stalled", "RollStuck", "b"));
        assert_ne!(key("Ready", "RollStuck", "a"), key("Stalled", "NoCandidate", "a"));
        let unclear = |message| key("Stalled", "AnnotationUnclear", message);
        assert_eq!(unclear("says \"a\""), unclear("says \"a\""));
        assert_ne!(unclear("says \"a\""), unclear("says \"b\""));
        assert_ne!(key("Paused", "Planned", ""), key("Paused", "All", ""));
    }
}
