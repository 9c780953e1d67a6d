//! The faults that are counted: what is done, on which resource, and what must be reached.

use crate::drain::drain;
use crate::fault::Signal;
use crate::harness::{spec, spec_with};
use crate::log;
use crate::operator;
use crate::outage::{self, Place};
use crate::pod::node;
use crate::runs::Bounds;
use crate::subject::Subject;
use crate::trial::{self, Expect, Verdict};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use redis_operator_core::names;
use serde_json::{Value, json};
use std::str::FromStr;
use std::time::Duration;

/// How long a resource may take until it is whole again before the next fault.
const SETTLE: Duration = Duration::from_secs(180);

/// A fault that befalls a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its process is killed.
    Killed,
    /// Its process hangs.
    Hung,
    /// The same, with a shorter `downAfter`.
    HungSooner,
    /// Its node is cut off.
    CutOff,
    /// The same, where nothing may be lost.
    CutOffDurable,
    /// Its node is cut off, and the leading operator is on it.
    CutOffWithLeader,
    /// Its process and the leading operator's are killed.
    KilledWithLeader,
    /// No fault at all: a person asks for another master.
    ByHand,
    /// Its pod is deleted.
    Deleted,
    /// Its node is drained.
    Drained,
    /// A changed spec is rolled out.
    Rolled,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Killed,
        Self::Hung,
        Self::HungSooner,
        Self::CutOff,
        Self::CutOffDurable,
        Self::CutOffWithLeader,
        Self::KilledWithLeader,
        Self::ByHand,
        Self::Deleted,
        Self::Drained,
        Self::Rolled,
    ];

    /// Somebody planned it, and nothing failed.
    pub fn is_planned(self) -> bool {
        matches!(self, Self::ByHand | Self::Deleted | Self::Drained | Self::Rolled)
    }

    /// A word for files and arguments.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::HungSooner => "hung-1s",
            Self::CutOff => "cable",
            Self::CutOffDurable => "cable-durability",
            Self::CutOffWithLeader => "cable-leader",
            Self::KilledWithLeader => "killed-leader",
            Self::ByHand => "by-hand",
            Self::Deleted => "deleted",
            Self::Drained => "drained",
            Self::Rolled => "rolled",
        }
    }

    /// A heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Killed => "The master's process is killed",
            Self::Hung => "The master's process hangs",
            Self::HungSooner => "The master's process hangs, `downAfter: 1s`",
            Self::CutOff => "The cable of the master's node is pulled",
            Self::CutOffDurable => "The cable of the master's node is pulled, `policy: Durability`",
            Self::CutOffWithLeader => "The cable of the node of master and leading operator is pulled",
            Self::KilledWithLeader => "The processes of master and leading operator are killed",
            Self::ByHand => "A switchover is asked for",
            Self::Deleted => "The master's pod is deleted",
            Self::Drained => "The master's node is drained",
            Self::Rolled => "A changed spec is rolled out: all three pods are replaced",
        }
    }

    /// What the write gap must reach.
    pub fn bounds(self) -> Bounds {
        let (median, max) = match self {
            Self::Killed => (200.0, 1200.0),
            Self::Hung => (3200.0, 4400.0),
            Self::HungSooner => (2200.0, 3400.0),
            Self::CutOff => (4500.0, 6000.0),
            Self::CutOffDurable => (7000.0, 9000.0),
            Self::CutOffWithLeader => (7500.0, 7500.0),
            Self::KilledWithLeader => (4500.0, 4500.0),
            Self::ByHand => (150.0, 1200.0),
            Self::Deleted | Self::Drained | Self::Rolled => (300.0, 1300.0),
        };
        Bounds {
            median,
            max,
            planned: self.is_planned(),
        }
    }

    /// The resource that it befalls.
    pub fn spec(self) -> Value {
        match self {
            Self::HungSooner => spec_with(3, json!({ "downAfter": "1s" })),
            Self::CutOffDurable => spec_with(3, json!({ "policy": "Durability" })),
            Self::Killed | Self::Hung | Self::CutOff | Self::CutOffWithLeader | Self::KilledWithLeader => spec(3),
            Self::ByHand | Self::Deleted | Self::Drained | Self::Rolled => spec(3),
        }
    }

    /// Once, under writes.
    pub async fn befall(self, subject: &Subject) -> Result<Verdict> {
        let cluster = &subject.space.cluster;
        self.prepare(subject).await?;
        let leader = operator::leader(cluster).await?;
        let verdict = trial::run(subject, Expect::Failover, async |before| {
            let process = subject.process(&before.master)?;
            match self {
                Self::Killed => process.send(Signal::Kill),
                Self::Hung | Self::HungSooner => process.send(Signal::Stop),
                Self::CutOff | Self::CutOffDurable => outage::unplug(subject, before).await,
                Self::CutOffWithLeader => {
                    ensure!(node(&leader) == node(&before.master), "the leader has moved");
                    outage::unplug(subject, before).await
                }
                Self::KilledWithLeader => {
                    operator::leading_process(cluster).await?.send(Signal::Kill)?;
                    process.send(Signal::Kill)
                }
                Self::ByHand => {
                    let at = log::now();
                    subject.annotate(names::ANNOTATION_SWITCHOVER, Some("any")).await?;
                    Ok(at)
                }
                Self::Deleted => {
                    let at = log::now();
                    subject.space.remove(&before.master, None).await?;
                    Ok(at)
                }
                Self::Drained => {
                    let at = log::now();
                    drain(subject, node(&before.master), SETTLE).await?;
                    Ok(at)
                }
                Self::Rolled => {
                    let at = log::now();
                    let change = json!({ "podAnnotations": { "changed": at.to_string() } });
                    subject.change(change).await?;
                    Ok(at)
                }
            }
        })
        .await?;
        if self == Self::KilledWithLeader {
            // a new pod: kubelet lets a container that ends often wait
            operator::space(cluster).remove::<Pod>(&leader, None).await?;
        }
        operator::ready(cluster, SETTLE).await?;
        Ok(verdict)
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
            Self::Deleted | Self::Drained | Self::Rolled => operator::ready(cluster, SETTLE).await,
        }
    }
}

/// A fault, and how often: `hung=20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What.
    pub fault: Fault,
    /// How often.
    pub count: usize,
}

impl FromStr for Wanted {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, count) = text
            .split_once('=')
            .with_context(|| format!("{text} is not NAME=COUNT"))?;
        let names = Fault::ALL.map(Fault::name).join(", ");
        let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name);
        Ok(Self {
            fault: fault.with_context(|| format!("no fault is called {name}, but: {names}"))?,
            count: count.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_names_its_fault() {
        let wanted: Wanted = "cable-durability=3".parse().unwrap();
        assert_eq!((wanted.fault, wanted.count), (Fault::CutOffDurable, 3));
        assert!("cable".parse::<Wanted>().is_err());
        assert!("flood=1".parse::<Wanted>().unwrap_err().to_string().contains("hung-1s"));
    }
}
