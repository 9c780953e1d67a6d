//! What is the case, and the conditions that say so.

use super::Trouble;
use super::why::{Explanation, explanations};
use crate::api::Redis;
use crate::conditions::Wanted;
use crate::decide::{View, paused, quorum};
use crate::observed::{Instance, Observed, Paused};
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
    /// What is left to do even if as many instances as wanted are ready.
    unsettled: Option<String>,
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
                unsettled: Some("nothing is on record".to_owned()),
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
            unsettled: unsettled(&view, guard),
        }
    }

    /// Every wanted pod is there, made for the present spec and in sync, and none beside them.
    pub(super) fn is_complete(&self, seen: &Observed) -> bool {
        self.ready >= wants(seen) && self.unsettled.is_none()
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
        let holds = self.is_available() && self.is_complete(seen) && untroubled;
        let master = self.master.as_deref().unwrap_or_default();
        let (reason, message) = match why.first() {
            _ if holds => (
                "Serving".to_owned(),
                format!("{master} is published, {} replicas are in sync", self.synced),
            ),
            Some(it) => (it.reason.clone(), it.message.clone()),
            None if self.is_available() => (
                "ReplicasJoining".to_owned(),
                format!("{master} is published; {}", self.progress(seen)),
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

    /// How many are ready; once they are as many as wanted, what is left to do.
    fn progress(&self, seen: &Observed) -> String {
        let (ready, wants) = (self.ready, wants(seen));
        let left = self.unsettled.as_ref().filter(|_| ready >= wants);
        let but = left.map_or(String::new(), |it| format!(", but {it}"));
        format!("{ready} of {wants} instances are ready{but}")
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

fn wants(seen: &Observed) -> usize {
    usize::try_from(seen.desired.replicas).unwrap_or(usize::MAX)
}

/// What is left to do even if as many instances as wanted are ready: one more than wanted may stand in for one that is still
/// to be made.
fn unsettled(view: &View, guard: Option<u32>) -> Option<String> {
    let (seen, record) = (view.seen, view.record);
    let pod = |fits: &dyn Fn(&Instance) -> bool| seen.instances.values().find(|it| fits(it)).map(|it| it.pod.as_str());
    let member = record.members.values().find(|member| member.stage != Stage::Full);
    let surplus = pod(&|it| it.ordinal >= seen.desired.replicas).map(|pod| format!("{pod} is one more than wanted"));
    let stale = pod(&|it| it.stale).map(|pod| format!("{pod} does not follow the present spec"));
    let partial = member.map(|it| format!("{} is {:?}", it.process.pod, it.stage));
    let unguarded = guard != Some(record.quorum) || record.quorum != quorum(view, record);
    let guard = unguarded.then(|| "the write guard is not set".to_owned());
    surplus.or(stale).or(partial).or(guard)
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
