//! The faults that are counted: what is done.

use crate::counted::Fault;
use crate::drain::drain;
use crate::fault::Signal;
use crate::log::{self, Micros};
use crate::operator;
use crate::outage::{self, Place};
use crate::pod::node;
use crate::runs::ms;
use crate::subject::{Settled, Subject};
use crate::syncs::{Synced, Syncs};
use crate::trial::{self, Expect, Verdict};
use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use redis_operator_core::names;
use serde_json::json;
use std::time::{Duration, Instant};

/// How long a resource may take until it is whole again before the next fault.
const SETTLE: Duration = Duration::from_secs(180);

/// What came of a fault.
pub struct Befallen {
    /// What clients and watches saw.
    pub verdict: Verdict,
    /// How replicas were synchronised meanwhile.
    pub synced: Synced,
    /// What this fault alone has to show, in milliseconds.
    pub more: Vec<(String, f64)>,
}

impl Fault {
    /// Once, under writes.
    pub async fn befall(self, subject: &Subject) -> Result<Befallen> {
        let cluster = &subject.space.cluster;
        self.prepare(subject).await?;
        let leader = operator::leader(cluster).await?;
        let syncs = Syncs::start(subject).await?;
        let mut more = vec![];
        let verdict = trial::run(subject, self.expect(), async |before| {
            if self.is_planned() {
                return self.change(subject, before, &mut more).await;
            }
            self.fail(subject, before, &leader).await
        })
        .await?;
        let synced = syncs.stop().await?;
        if self == Self::KilledWithLeader {
            // a new pod: kubelet lets a container that ends often wait
            operator::space(cluster).remove::<Pod>(&leader, None).await?;
        }
        operator::ready(cluster, SETTLE).await?;
        Ok(Befallen { verdict, synced, more })
    }

    /// The first pod is master from the first start on, and is never scaled away.
    fn expect(self) -> Expect {
        match self {
            Self::Scaled => Expect::SameMaster,
            _ => Expect::Failover,
        }
    }

    /// What nobody planned. The moment just before.
    async fn fail(self, subject: &Subject, before: &Settled, leader: &Pod) -> Result<Micros> {
        let process = subject.process(&before.master)?;
        match self {
            Self::Hung | Self::HungSooner => process.send(Signal::Stop),
            Self::CutOff | Self::CutOffDurable => outage::unplug(subject, before).await,
            Self::CutOffWithLeader => {
                ensure!(node(leader) == node(&before.master), "the leader has moved");
                outage::unplug(subject, before).await
            }
            Self::KilledWithLeader => {
                let leading = operator::leading_process(&subject.space.cluster).await?;
                leading.send(Signal::Kill)?;
                process.send(Signal::Kill)
            }
            _ => process.send(Signal::Kill),
        }
    }

    /// What somebody planned. The moment just before.
    async fn change(self, subject: &Subject, before: &Settled, more: &mut Vec<(String, f64)>) -> Result<Micros> {
        let at = log::now();
        match self {
            Self::Deleted => subject.space.remove(&before.master, None).await?,
            Self::Drained => drop(drain(subject, node(&before.master), SETTLE).await?),
            Self::Rolled => {
                let change = json!({ "podAnnotations": { "changed": at.to_string() } });
                subject.change(change).await?;
            }
            Self::Scaled => {
                for replicas in [5, 2, 3] {
                    let begun = Instant::now();
                    subject.scale(replicas).await?;
                    subject.settled(SETTLE).await?;
                    more.push((format!("scaled to {replicas}, from then on"), ms(begun.elapsed())));
                }
            }
            _ => drop(subject.annotate(names::ANNOTATION_SWITCHOVER, Some("any")).await?),
        }
        Ok(at)
    }

    async fn prepare(self, subject: &Subject) -> Result<()> {
        let cluster = &subject.space.cluster;
        match self {
            Self::CutOff | Self::CutOffDurable => {
                let settled = subject.settled(SETTLE).await?;
                outage::lead(cluster, Place::Beside(node(&settled.master))).await
            }
            Self::CutOffWithLeader => outage::bring_together(subject, SETTLE).await.map(drop),
            Self::Killed | Self::Hung | Self::HungSooner | Self::KilledWithLeader => {
                operator::ready(cluster, SETTLE).await
            }
            Self::ByHand => {
                subject.annotate(names::ANNOTATION_SWITCHOVER, None).await?;
                operator::ready(cluster, SETTLE).await
            }
            Self::Deleted | Self::Drained | Self::Rolled | Self::Scaled => operator::ready(cluster, SETTLE).await,
        }
    }
}
