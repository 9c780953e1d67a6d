//! The faults that are counted: what is done.

use crate::client::{Client, Does};
use crate::counted::{BIG, Fault};
use crate::drain::drain;
use crate::fault::Signal;
use crate::log::{self, Micros};
use crate::operator;
use crate::outage;
use crate::pod::node;
use crate::resp::{Reply, info_field};
use crate::rolled;
use crate::runs::ms;
use crate::subject::{Settled, Subject};
use crate::syncs::{Synced, Syncs};
use crate::trial::{self, Expect, Verdict};
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use redis_operator_core::names;
use std::time::{Duration, Instant};

/// How long a resource may take until it is whole again before the next fault.
const SETTLE: Duration = Duration::from_secs(180);
/// How long a roll of much data may take.
const ROLL: Duration = Duration::from_secs(900);

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
        let stream = self.stream(subject).await?;
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
        if let Some(stream) = stream {
            println!("errors of the stream: {:?}", stream.stop().await?.troubles());
        }
        if self == Self::KilledWithLeader {
            // a new pod: kubelet lets a container that ends often wait
            operator::space(cluster).remove::<Pod>(&leader, None).await?;
        }
        operator::ready(cluster, SETTLE).await?;
        Ok(Befallen { verdict, synced, more })
    }

    /// What is written beside what is checked.
    async fn stream(self, subject: &Subject) -> Result<Option<Client>> {
        if self != Self::Big {
            return Ok(None);
        }
        let settled = subject.settled(SETTLE).await?;
        BIG.fill(&settled.master)?;
        subject.client(&settled, "bulk", Does::Stream(BIG)).await.map(Some)
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
            Self::PowerCut => outage::cut_power(subject, before).await,
            Self::RolledWith(middle) => middle.befall(subject, before).await,
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
            Self::Rolled => return rolled::begin(subject).await,
            Self::Deleted => subject.space.remove(&before.master, None).await?,
            Self::Drained => drop(drain(subject, node(&before.master), SETTLE).await?),
            Self::Big => more.extend(much(subject, before).await?),
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
            Self::CutOff | Self::CutOffDurable | Self::PowerCut => outage::lead_elsewhere(subject, SETTLE).await,
            Self::CutOffWithLeader => outage::bring_together(subject, SETTLE).await.map(drop),
            Self::RolledWith(middle) => middle.prepare(subject).await,
            Self::Killed | Self::Hung | Self::HungSooner | Self::KilledWithLeader => {
                operator::ready(cluster, SETTLE).await
            }
            Self::ByHand => {
                subject.annotate(names::ANNOTATION_SWITCHOVER, None).await?;
                operator::ready(cluster, SETTLE).await
            }
            Self::Deleted | Self::Drained | Self::Rolled | Self::Scaled | Self::Big => {
                operator::ready(cluster, SETTLE).await
            }
        }
    }
}

/// A whole roll of much data, which takes as long as it takes; what was written meanwhile, and how much there is.
async fn much(subject: &Subject, before: &Settled) -> Result<Vec<(String, f64)>> {
    let (begun, offset) = (
        Instant::now(),
        number(subject, &before.master, "replication", "master_repl_offset")?,
    );
    rolled::begin(subject).await?;
    rolled::all_replaced(subject, before, ROLL).await?;
    let after = subject.settled(ROLL).await?;
    let written = number(subject, &after.master, "replication", "master_repl_offset")? - offset;
    let data: Result<Vec<_>> = after
        .pods()
        .map(|pod| number(subject, pod, "memory", "used_memory_dataset"))
        .collect();
    let least = data?.into_iter().fold(f64::INFINITY, f64::min);
    Ok(vec![
        ("data of the smallest instance (MB)".to_owned(), least / 1e6),
        (
            "written and replicated (MB/s)".to_owned(),
            written / 1e6 / begun.elapsed().as_secs_f64(),
        ),
    ])
}

fn number(subject: &Subject, pod: &Pod, section: &str, field: &str) -> Result<f64> {
    let Reply::Text(info) = subject.ask(pod, &["INFO", section])? else {
        bail!("INFO is no text");
    };
    let value = info_field(&info, field).with_context(|| format!("no {field} in INFO"))?;
    Ok(value.parse()?)
}
