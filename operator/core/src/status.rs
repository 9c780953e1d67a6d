//! What the operator tells people: status and conditions, computed from an observation and its plan.

use crate::api::{Answer, Instance as Row, LastFailover, Redis, RedisStatus};
use crate::conditions::{Wanted, merge};
use crate::decide::{View, paused};
use crate::names;
use crate::observed::{Instance, Observed, Paused, Reach};
use crate::plan::{Plan, Reason};
use crate::record::{Phase, Record, Stage};
use crate::version::NEEDED;
use kube::ResourceExt;

/// Something that a person has to put right, found outside of the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One CamelCase word.
    pub reason: String,
    /// A sentence that names the field or object, and the remedy.
    pub message: String,
}

/// Computes the status of a resource. The record is not part of it: only the record's own writes touch that.
pub fn status(
    redis: &Redis,
    seen: &Observed,
    plan: &Plan,
    troubles: &[Trouble],
    last: Option<LastFailover>,
) -> RedisStatus {
    let before = redis.status.clone().unwrap_or_default();
    let record = seen.record.record();
    let facts = Facts::of(seen, record);
    let generation = redis.metadata.generation;
    let wanted = facts.conditions(redis, seen, plan, troubles);
    let wants = seen.desired.replicas;
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
        last_failover: last.or(before.last_failover),
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

/// Commands in a sentence as they can be pasted: decisions know no names, and write `redis NAME`.
fn paste(message: &str, redis: &Redis) -> String {
    let namespace = redis.namespace().unwrap_or_default();
    message.replace("redis NAME", &format!("redis {} -n {namespace}", redis.name_any()))
}

/// What a person wants to know at a glance.
struct Facts {
    master: Option<String>,
    published: bool,
    ready: usize,
    synced: usize,
    safe_wait: i32,
    settled: bool,
}

impl Facts {
    fn of(seen: &Observed, record: Option<&Record>) -> Self {
        let Some(record) = record else {
            return Self {
                master: None,
                published: false,
                ready: 0,
                synced: 0,
                safe_wait: 0,
                settled: false,
            };
        };
        let view = View::new(seen, record);
        let serving = view.serving().filter(|_| record.phase == Phase::Steady);
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
            master: serving.map(|(instance, _)| instance.pod.clone()),
            published: serving.is_some_and(|(instance, _)| named(&instance.uid)),
            ready: synced.saturating_add(usize::from(serving.is_some())),
            synced,
            safe_wait: i32::try_from(record.quorum).unwrap_or(i32::MAX),
            settled: guard == Some(record.quorum)
                && record.members.values().all(|member| member.stage == Stage::Full)
                && !seen.instances.values().any(|instance| instance.stale),
        }
    }

    /// Every wanted pod is there, made for the present spec and in sync.
    fn is_complete(&self, seen: &Observed) -> bool {
        self.ready >= usize::try_from(seen.desired.replicas).unwrap_or(usize::MAX) && self.settled
    }

    fn conditions(&self, redis: &Redis, seen: &Observed, plan: &Plan, troubles: &[Trouble]) -> Vec<Wanted> {
        let wants = usize::try_from(seen.desired.replicas).unwrap_or(usize::MAX);
        let available = self.published && self.master.is_some();
        let surplus = seen.instances.len() > wants;
        let complete = available && self.is_complete(seen) && !surplus && troubles.is_empty();
        let notes = plan.notes.iter().map(|note| {
            (
                format!("{:?}", note.reason),
                paste(&note.message, redis),
                stalls(note.reason),
            )
        });
        let mut why: Vec<_> = troubles
            .iter()
            .map(|t| (t.reason.clone(), t.message.clone(), true))
            .collect();
        why.extend(notes);
        why.extend(pods(redis, seen));
        why.extend(unreadable(seen));
        let first = why.first().cloned();
        let master = self.master.clone().unwrap_or_default();
        let (reason, message) = if complete {
            (
                "Serving".to_owned(),
                format!("{master} is published, {} replicas are in sync", self.synced),
            )
        } else if let Some((reason, message, _)) = &first {
            (reason.clone(), message.clone())
        } else if available {
            (
                "ReplicasJoining".to_owned(),
                format!("{master} is published; {} of {wants} instances are ready", self.ready),
            )
        } else {
            unavailable(seen)
        };
        let stalled = why.iter().find(|(_, _, stalls)| *stalls);
        vec![
            Wanted {
                type_: "Ready",
                holds: complete,
                reason: reason.clone(),
                message,
            },
            Wanted {
                type_: "Available",
                holds: available,
                reason: if available { "Published".to_owned() } else { reason },
                message: if available {
                    format!("{master} takes writes")
                } else {
                    "no master is published".to_owned()
                },
            },
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
                reason: stalled.map_or("GoingOn", |(reason, _, _)| reason.as_str()).to_owned(),
                message: stalled
                    .map_or("nothing waits for a person", |(_, message, _)| message.as_str())
                    .to_owned(),
            },
        ]
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
            "applications need the password of the Secret that spec.password names",
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
fn is_busy(said: &str) -> bool {
    ["BUSY", "LOADING", "MASTERDOWN"]
        .iter()
        .any(|code| said.starts_with(code))
}

/// Instances that live and say what nobody can use: another server at the pod's address, another password, no Redis at all.
fn unreadable(seen: &Observed) -> impl Iterator<Item = (String, String, bool)> {
    seen.instances.values().filter_map(|instance| match &instance.reach {
        Reach::Alive(said) if !is_busy(said) => {
            let (pod, address) = (&instance.pod, &instance.address);
            let message = format!(
                "{pod} ({address}) is alive but answers {said}; nothing is done with it. Needed is {NEEDED} (spec.image) with the users of its Secret; is it this pod that answers there?"
            );
            Some(("InstanceUnreadable".to_owned(), message, true))
        }
        Reach::Alive(_) | Reach::Untried | Reach::Answers(_) | Reach::Refused { .. } | Reach::Silent { .. } => None,
    })
}

/// Pods that cannot run, with what Kubernetes says of them.
fn pods<'a>(redis: &'a Redis, seen: &'a Observed) -> impl Iterator<Item = (String, String, bool)> + 'a {
    let class = redis
        .spec
        .storage
        .as_ref()
        .and_then(|storage| storage.storage_class_name.as_deref());
    let troubled = seen.instances.values().filter(|instance| !View::is_up(instance));
    troubled.filter_map(move |instance| {
        let trouble = instance.trouble.as_ref()?;
        let claim = class.filter(|_| trouble.contains("PersistentVolumeClaim"));
        let hint = claim.map(|class| {
            format!("; has storage class {class} (spec.storage.storageClassName) a free volume, and does it exist?")
        });
        let message = format!("{}: {trouble}{}", instance.pod, hint.unwrap_or_default());
        Some(("PodFailing".to_owned(), message, true))
    })
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
