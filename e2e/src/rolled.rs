//! A roll of all pods, and what may fail in the middle of one.

use crate::fault::Signal;
use crate::log::{self, Micros};
use crate::operator;
use crate::outage::{self, Cable, Paused};
use crate::pod::node;
use crate::space::until;
use crate::subject::{Settled, Subject};
use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long it may take until the first pod is replaced, or a switchover begins.
const BEGIN: Duration = Duration::from_secs(90);
/// How long all of it may take with a fault in its middle.
const ROLL: Duration = Duration::from_secs(120);

/// What fails in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Middle {
    /// The leading operator is killed.
    OperatorKilled,
    /// Whoever is to be master next is killed in the switchover.
    TargetKilled,
    /// The master hangs in the switchover, and goes on once it was replaced.
    MasterHangs,
    /// The master's node is cut off until another one is published.
    CablePulled,
}

impl Middle {
    /// Has the leading operator where it is to be: on another node than the master, whose cable is pulled.
    pub async fn prepare(self, subject: &Subject) -> Result<()> {
        if self == Self::CablePulled {
            outage::lead_elsewhere(subject, BEGIN).await?;
        }
        operator::ready(&subject.space.cluster, BEGIN).await
    }

    /// Begins a roll, lets it happen, and waits until every pod is another one. The moment just before.
    pub async fn befall(self, subject: &Subject, before: &Settled) -> Result<Micros> {
        let at = begin(subject).await?;
        match self {
            Self::OperatorKilled => {
                one_replaced(subject, before).await?;
                operator::leading_process(&subject.space.cluster)
                    .await?
                    .send(Signal::Kill)?;
            }
            Self::TargetKilled => {
                let target = subject.target(BEGIN).await?;
                subject.process(&target)?.send(Signal::Kill)?;
            }
            Self::MasterHangs => {
                subject.target(BEGIN).await?;
                let hung = Paused::stop(subject.process(&before.master)?)?;
                outage::another_published(subject, before).await?;
                drop(hung);
            }
            Self::CablePulled => {
                one_replaced(subject, before).await?;
                let (cable, _) = Cable::pull(subject.space.cluster.local()?, node(&before.master))?;
                outage::another_published(subject, before).await?;
                drop(cable);
            }
        }
        all_replaced(subject, before, ROLL).await?;
        Ok(at)
    }
}

/// Asks for other pods. The moment just before.
pub async fn begin(subject: &Subject) -> Result<Micros> {
    let at = log::now();
    let change = json!({ "podAnnotations": { "changed": at.to_string() } });
    subject.change(change).await?;
    Ok(at)
}

/// Uids by name.
pub fn uids(settled: &Settled) -> BTreeMap<String, String> {
    settled.pods().map(|pod| (pod.name_any(), uid(pod))).collect()
}

fn uid(pod: &Pod) -> String {
    pod.uid().unwrap_or_default()
}

/// Waits until the replica that is replaced first is another pod.
async fn one_replaced(subject: &Subject, before: &Settled) -> Result<()> {
    let old = uids(before);
    until("the first replica to be replaced", BEGIN, async || {
        let now = subject.pods().await?;
        Ok(now.iter().any(|pod| old.get(&pod.name_any()) != Some(&uid(pod))))
    })
    .await
}

/// Waits until every pod is another one.
pub async fn all_replaced(subject: &Subject, before: &Settled, limit: Duration) -> Result<()> {
    let old = uids(before);
    until("all pods to be replaced", limit, async || {
        let now = subject.pods().await?;
        let same = now.iter().any(|pod| old.get(&pod.name_any()) == Some(&uid(pod)));
        ensure!(!same && now.len() == old.len(), "{} pods", now.len());
        Ok(true)
    })
    .await
}
