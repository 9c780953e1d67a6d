//! Why not everything is well: what a decision, the cluster and the instances say, as sentences for people.

use super::Trouble;
use crate::api::Redis;
use crate::decide::View;
use crate::names;
use crate::observed::{Instance, Observed, Reach};
use crate::plan::{Plan, Reason};
use crate::version::NEEDED;
use kube::ResourceExt;
use std::time::Duration;

/// Silence of an instance whose container runs that is told: whoever hangs is ended before.
const LONG: Duration = Duration::from_secs(60);

/// Why not everything is well.
pub(super) struct Explanation {
    pub(super) reason: String,
    pub(super) message: String,
    /// Nothing goes on until a person, or a fault's end, changes something.
    pub(super) stalls: bool,
}

/// All that can be said, the most telling first.
pub(super) fn explanations(redis: &Redis, seen: &Observed, plan: &Plan, troubles: &[Trouble]) -> Vec<Explanation> {
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
    let instances = pods(redis, seen).chain(unreadable(seen)).chain(unheard(seen));
    let all = troubles.chain(notes).chain(instances);
    all.map(|it| Explanation {
        message: paste(&it.message, redis),
        ..it
    })
    .collect()
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

/// Instances whose containers run and that the operator does not reach. Of the master the decision says more.
fn unheard(seen: &Observed) -> impl Iterator<Item = Explanation> {
    let master = seen.record.record().and_then(|record| record.master.as_ref());
    let master = master.map(|master| &master.uid);
    let lasts = |instance: &&Instance| match instance.reach {
        Reach::Silent { since, .. } | Reach::Refused { since } => seen.now.since(since) >= LONG,
        Reach::Untried | Reach::Alive(_) | Reach::Answers(_) => false,
    };
    let runs = |instance: &&Instance| {
        let it = &instance.container;
        let ended = it.id.as_ref().is_none_or(|id| it.terminated.contains(id));
        !ended && it.waiting.is_none() && instance.trouble.is_none()
    };
    let all = seen.instances.values().filter(move |it| Some(&it.uid) != master);
    all.filter(runs).filter(lasts).map(|instance| Explanation {
        reason: "InstanceUnreachable".to_owned(),
        message: format!(
            "{} is said to run, and the operator has not reached it at {}, port {}, for more than a minute: is there a network policy, a firewall or a mesh between them, or is node {} down?",
            instance.pod,
            instance.address,
            names::PORT_REDIS,
            instance.node
        ),
        stalls: true,
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
