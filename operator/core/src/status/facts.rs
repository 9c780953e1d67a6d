//! What is the case, and the conditions that say so.

use super::Trouble;
use crate::api::Redis;
use crate::conditions::Wanted;
use crate::decide::{View, paused};
use crate::observed::{Observed, Paused, Reach};
use crate::plan::{Plan, Reason};
use crate::record::{Phase, Record, Stage};
use crate::version::NEEDED;
use kube::ResourceExt;

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

/// Why not everything is well.
struct Explanation {
    reason: String,
    message: String,
    /// Nothing goes on until a person, or a fault's end, changes something.
    stalls: bool,
}

/// All that can be said, the most telling first.
fn explanations(redis: &Redis, seen: &Observed, plan: &Plan, troubles: &[Trouble]) -> Vec<Explanation> {
    let troubles = troubles.iter().map(|it| Explanation {
        reason: it.reason.clone(),
        message: it.message.clone(),
        stalls: true,
    });
    let notes = plan.notes.iter().map(|note| Explanation {
        reason: format!("{:?}", note.reason),
        message: note.message.clone(),
        stalls: stalls(note.reason),
    });
    let all = troubles.chain(notes).chain(pods(redis, seen)).chain(unreadable(seen));
    all.map(|it| Explanation {
        message: paste(&it.message, redis),
        ..it
    })
    .collect()
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

/// Nothing goes on until a person, or a fault's end, changes something.
fn stalls(reason: Reason) -> bool {
    match reason {
        Reason::WaitingForPods
        | Reason::SwitchoverWaits
        | Reason::Rolling
        | Reason::Paused
        | Reason::MasterOnSurplusPod => false,
        Reason::RecordOfNewerVersion
        | Reason::RecordUnreadable
        | Reason::AmbiguousData
        | Reason::MasterUnclear
        | Reason::QuorumMissing
        | Reason::NoCandidate
        | Reason::ForeignData
        | Reason::MemberWithoutLink
        | Reason::TwoMasters
        | Reason::RollStuck
        | Reason::RollRefused
        | Reason::AnnotationUnclear => true,
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

/// It is at work, and says so. Whatever else a living process says instead of an answer tells nothing of it.
pub(super) fn is_busy(said: &str) -> bool {
    ["BUSY", "LOADING", "MASTERDOWN"]
        .iter()
        .any(|code| said.starts_with(code))
}

/// Instances that live and say what nobody can use: another server at the pod's address, another password, no Redis at all.
fn unreadable(seen: &Observed) -> impl Iterator<Item = Explanation> {
    seen.instances.values().filter_map(|instance| match &instance.reach {
        Reach::Alive(said) if !is_busy(said) => {
            let (pod, address) = (&instance.pod, &instance.address);
            let message = format!(
                "{pod} ({address}) is alive but answers {said}; nothing is done with it. Needed is {NEEDED} (spec.image) with the users of its Secret; is it this pod that answers there?"
            );
            Some(Explanation {
                reason: "InstanceUnreadable".to_owned(),
                message,
                stalls: true,
            })
        }
        Reach::Alive(_) | Reach::Untried | Reach::Answers(_) | Reach::Refused { .. } | Reach::Silent { .. } => None,
    })
}

/// Pods that cannot run, with what Kubernetes says of them.
fn pods<'a>(redis: &'a Redis, seen: &'a Observed) -> impl Iterator<Item = Explanation> + 'a {
    let class = redis
        .spec
        .storage
        .as_ref()
        .and_then(|storage| storage.storage_class_name.as_deref());
    let troubled = seen.instances.values().filter(|instance| !View::is_up(instance));
    troubled.filter_map(move |instance| {
        let trouble = instance.trouble.as_ref()?;
        let hint = match class {
            _ if redis.spec.storage.is_none() || !trouble.contains("PersistentVolumeClaim") => String::new(),
            Some(class) => {
                format!("; has storage class {class} (spec.storage.storageClassName) a free volume, and does it exist?")
            }
            None => "; has the cluster a default storage class, and that a free volume? Else name one in spec.storage.storageClassName of another Redis".to_owned(),
        };
        let message = format!("{}: {trouble}{}", instance.pod, hint);
        Some(Explanation {
            reason: "PodFailing".to_owned(),
            message,
            stalls: true,
        })
    })
}

/// Commands in a sentence as they can be pasted: decisions know no names, and write `redis NAME`.
fn paste(message: &str, redis: &Redis) -> String {
    let namespace = redis.namespace().unwrap_or_default();
    let named = message.replace("redis NAME", &format!("redis {} -n {namespace}", redis.name_any()));
    ["logs ", "logs --previous ", "describe ", "delete "]
        .iter()
        .fold(named, |text, verb| {
            let (plain, whole) = (
                format!("kubectl {verb}pod/"),
                format!("kubectl -n {namespace} {verb}pod/"),
            );
            text.replace(&plain, &whole)
        })
}
