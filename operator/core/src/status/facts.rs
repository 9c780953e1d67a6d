//! What is the case, and the conditions that say so.

use super::Trouble;
use super::why::{Explanation, explanations};
use crate::api::Redis;
use crate::conditions::Wanted;
use crate::decide::{View, paused, quorum};
use crate::observed::{Observed, Paused};
use crate::plan::Plan;
use crate::record::{Phase, Record, Stage};

/// What a person wants to know at a glance.
pub(super) struct Facts {
    pub(super) master: Option<String>,
    published: bool,
    /// Who hears the master, where the operator does not.
    heard_by: Option<String>,
    pub(super) ready: usize,
    pub(super) synced: usize,
    pub(super) safe_wait: i32,
    settled: bool,
}

impl Facts {
    pub(super) fn of(seen: &Observed, record: Option<&Record>) -> Self {
        let Some(record) = record else {
            return Self {
                master: None,
                published: false,
                heard_by: None,
                ready: 0,
                synced: 0,
                safe_wait: 0,
                settled: false,
            };
        };
        let view = View::new(seen, record);
        let steady = record.phase == Phase::Steady;
        let serving = view.serving().filter(|_| steady);
        let heard_by = view.heard_by().filter(|_| steady && serving.is_none());
        let heard = record.master.as_ref().filter(|_| heard_by.is_some());
        let served = serving.map(|(instance, _)| (&instance.pod, &instance.uid));
        let master = served.or_else(|| heard.map(|process| (&process.pod, &process.uid)));
        let named = |uid: &String| {
            seen.slice
                .as_ref()
                .is_some_and(|slice| slice.target.as_ref() == Some(uid))
        };
        let linked = |it: &crate::observed::Answer| it.serves && it.replication.link_is_up();
        let synced = view
            .living_at(Stage::Full)
            .filter(|(_, living)| linked(living.answer))
            .count();
        let guard = serving.map(|(_, answer)| answer.guard);
        Self {
            master: master.map(|(pod, _)| pod.clone()),
            published: master.is_some_and(|(_, uid)| named(uid)),
            heard_by,
            ready: synced.saturating_add(usize::from(serving.is_some())),
            synced,
            safe_wait: i32::try_from(record.quorum).unwrap_or(i32::MAX),
            settled: guard == Some(record.quorum)
                && record.quorum == quorum(&view, record)
                && record.members.values().all(|member| member.stage == Stage::Full)
                && !seen.instances.values().any(|instance| instance.stale),
        }
    }

    /// Every wanted pod is there, made for the present spec and in sync.
    pub(super) fn is_complete(&self, seen: &Observed) -> bool {
        self.ready >= usize::try_from(seen.desired.replicas).unwrap_or(usize::MAX) && self.settled
    }

    pub(super) fn conditions(&self, redis: &Redis, seen: &Observed, plan: &Plan, troubles: &[Trouble]) -> Vec<Wanted> {
        let why = explanations(redis, seen, plan, troubles);
        let ready = self.readiness(seen, &why, troubles.is_empty());
        let available = self.available(&ready.reason);
        let stalled = why.iter().find(|it| it.stalls);
        vec![
            ready,
            available,
            Wanted {
                type_: "Paused",
                holds: seen.desired.paused != Paused::No,
                reason: format!("{:?}", seen.desired.paused),
                message: paused(seen).to_owned(),
            },
            unprotected(redis),
            Wanted {
                type_: "Stalled",
                holds: stalled.is_some(),
                reason: stalled.map_or("GoingOn", |it| it.reason.as_str()).to_owned(),
                message: stalled
                    .map_or("nothing waits for a person", |it| it.message.as_str())
                    .to_owned(),
            },
        ]
    }

    fn is_available(&self) -> bool {
        self.published && self.master.is_some()
    }

    fn readiness(&self, seen: &Observed, why: &[Explanation], untroubled: bool) -> Wanted {
        let wants = usize::try_from(seen.desired.replicas).unwrap_or(usize::MAX);
        let surplus = seen.instances.len() > wants;
        let holds = self.is_available() && self.is_complete(seen) && !surplus && untroubled;
        let master = self.master.as_deref().unwrap_or_default();
        let (reason, message) = match why.first() {
            _ if holds => (
                "Serving".to_owned(),
                format!("{master} is published, {} replicas are in sync", self.synced),
            ),
            Some(it) => (it.reason.clone(), it.message.clone()),
            None if self.is_available() => (
                "ReplicasJoining".to_owned(),
                format!("{master} is published; {} of {wants} instances are ready", self.ready),
            ),
            None => unavailable(seen),
        };
        Wanted {
            type_: "Ready",
            holds,
            reason,
            message,
        }
    }

    fn available(&self, why_not: &str) -> Wanted {
        let holds = self.is_available();
        let master = self.master.as_deref().unwrap_or_default();
        let message = match &self.heard_by {
            Some(by) if holds => format!("{by} hears {master}, which does not answer the operator"),
            _ if holds => format!("{master} takes writes"),
            _ => "no master that answers is published".to_owned(),
        };
        Wanted {
            type_: "Available",
            holds,
            reason: if holds { "Published" } else { why_not }.to_owned(),
            message,
        }
    }
}

/// Reason and message where nothing else explains it.
fn unavailable(seen: &Observed) -> (String, String) {
    let record = seen.record.record().filter(|record| record.master.is_some());
    let changing = |message| ("ChangingMaster".to_owned(), message);
    match record.map(|record| (record.phase, &record.reason)) {
        None | Some((Phase::Steady, _)) => ("Starting".to_owned(), "no master is published yet".to_owned()),
        Some((Phase::Switching, _)) => changing("the master hands over to another one".to_owned()),
        Some((Phase::Electing | Phase::Promoting, why)) => changing(format!("another master is elected: {why}")),
    }
}

fn unprotected(redis: &Redis) -> Wanted {
    let holds = redis.spec.password.is_none();
    let (reason, message) = if holds {
        (
            "NoPassword",
            "whoever reaches the pods reads and writes the data: spec.password names no Secret",
        )
    } else {
        (
            "PasswordSet",
            "applications need the password of the Secret that spec.password names, at every pod that follows the present spec",
        )
    };
    Wanted {
        type_: "Unprotected",
        holds,
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}
