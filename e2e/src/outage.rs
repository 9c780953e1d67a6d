//! Faults that last: each is a guard that puts right what it broke when it is dropped, however a test ends.

use crate::cluster::{Cluster, Local};
use crate::fault::{Process, Signal};
use crate::log::{self, Micros};
use crate::operator;
use crate::pod::{address, node};
use crate::space::until;
use crate::subject::{Settled, Subject, record};
use anyhow::{Result, bail, ensure};
use kube::ResourceExt;
use redis_operator_core::record::{Phase, Record};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::time::sleep;

/// The longest time until another master is published, whatever befell the one before.
const PUBLISHED: Duration = Duration::from_secs(40);
/// How long a node stays without power after that: a machine takes its time.
const WITHOUT_POWER: Duration = Duration::from_secs(5);
/// Until another operator leads, and all of them are ready.
const LEADS: Duration = Duration::from_secs(60);

/// A node's cable, pulled.
#[must_use]
pub struct Cable {
    network: PathBuf,
    port: String,
}

impl Cable {
    /// Pulls it: the node reaches nobody and nobody reaches it. Also the moment just before.
    pub fn pull(local: &Local, node: &str) -> Result<(Self, Micros)> {
        let (network, port) = local.port(node);
        let cable = Self { network, port };
        let at = log::now();
        cable.set("down")?;
        Ok((cable, at))
    }

    fn set(&self, state: &str) -> Result<()> {
        let network = format!("--net={}", self.network.display());
        let set = Command::new("nsenter")
            .args([&network, "ip", "link", "set", &self.port, state])
            .status()?;
        ensure!(set.success(), "port {} cannot be set {state}", self.port);
        Ok(())
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        if let Err(error) = self.set("up") {
            eprintln!("{error:#}");
        }
    }
}

/// A node without power: all its processes have ended, and it reaches nobody. It boots when this is dropped.
#[must_use]
pub struct Power {
    local: Local,
    node: String,
}

impl Power {
    /// Cuts it. Also the moment just before.
    pub fn cut(local: &Local, node: &str) -> Result<(Self, Micros)> {
        // whatever becomes of this, the node has to come back
        let power = Self {
            local: local.clone(),
            node: node.to_owned(),
        };
        let at = log::now();
        local.power(node, "off")?;
        Ok((power, at))
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        if let Err(error) = self.local.power(&self.node, "on") {
            eprintln!("{error:#}");
        }
    }
}

/// A stopped process, a component of the cluster say. It goes on when this is dropped.
#[must_use]
pub struct Paused(Process);

impl Paused {
    /// Stops it.
    pub fn stop(process: Process) -> Result<Self> {
        process.send(Signal::Stop)?;
        Ok(Self(process))
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // it may have been ended meanwhile
        let _ = self.0.send(Signal::Continue);
    }
}

/// A component that was killed. It is started again when this is dropped, or asked to.
#[must_use]
pub struct Killed {
    local: Local,
    node: String,
    name: &'static str,
}

impl Killed {
    /// Kills it.
    pub fn component(local: &Local, node: &str, name: &'static str) -> Result<Self> {
        Process::component(local, node, name)?.end()?;
        Ok(Self {
            local: local.clone(),
            node: node.to_owned(),
            name,
        })
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        if let Err(error) = self.local.start(&self.node, self.name) {
            eprintln!("{error:#}");
        }
    }
}

/// Pulls the cable of the master's node until another master is published. The moment just before.
pub async fn unplug(subject: &Subject, before: &Settled) -> Result<Micros> {
    let (cable, at) = Cable::pull(subject.space.cluster.local()?, node(&before.master))?;
    another_published(subject, before).await?;
    drop(cable);
    Ok(at)
}

/// Cuts the power of the master's node until another master has been published for a while. The moment just before.
pub async fn cut_power(subject: &Subject, before: &Settled) -> Result<Micros> {
    let (power, at) = Power::cut(subject.space.cluster.local()?, node(&before.master))?;
    another_published(subject, before).await?;
    sleep(WITHOUT_POWER).await;
    drop(power);
    Ok(at)
}

/// Waits until another address than the master's is published, or another process is on record as the one that is: the pod
/// may be master again at once.
pub async fn another_published(subject: &Subject, before: &Settled) -> Result<()> {
    let former = address(&before.master)?.ip().to_string();
    until("another master to be published", PUBLISHED, async || {
        let published = subject.published().await?;
        if !published.is_empty() && !published.contains(&former) {
            return Ok(true);
        }
        let record = record(&subject.get().await?)?;
        let process = |record: &Record| record.master.as_ref().map(|it| it.run_id.clone());
        Ok(record.phase == Phase::Steady && process(&record) != process(&before.record))
    })
    .await
}

/// Lets an operator lead that is on this node, or on any but this one.
pub async fn lead(cluster: &Cluster, place: Place<'_>) -> Result<()> {
    operator::ready(cluster, LEADS).await?;
    let mut removed = BTreeSet::new();
    until("the leader to change", LEADS, async || {
        let leader = operator::leader(cluster).await?;
        if place.holds(node(&leader)) {
            return Ok(true);
        }
        // not by a signal: kubelet lets a container that ends often wait. Any other one may lead next, also its successor there
        if removed.insert(leader.name_any()) {
            operator::space(cluster).remove(&leader, None).await?;
        }
        bail!("{} leads on {}", leader.name_any(), node(&leader))
    })
    .await?;
    operator::ready(cluster, LEADS).await
}

/// Lets an operator lead that is on another node than the master: its node can be lost by itself.
pub async fn lead_elsewhere(subject: &Subject, limit: Duration) -> Result<()> {
    let settled = subject.settled(limit).await?;
    lead(&subject.space.cluster, Place::Beside(node(&settled.master))).await
}

/// Where an operator is to lead.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// On this node.
    On(&'a str),
    /// On another one.
    Beside(&'a str),
}

impl Place<'_> {
    fn holds(self, node: &str) -> bool {
        match self {
            Self::On(wanted) => wanted == node,
            Self::Beside(avoided) => avoided != node,
        }
    }
}

/// Moves the master to a node on which an operator is, and lets that one lead: one fault will take both.
pub async fn bring_together(subject: &Subject, limit: Duration) -> Result<Settled> {
    let cluster = &subject.space.cluster;
    operator::ready(cluster, LEADS).await?;
    let operators = operator::pods(cluster).await?;
    let beside = |settled: &Settled| operators.iter().any(|pod| node(pod) == node(&settled.master));
    let mut settled = subject.settled(limit).await?;
    if !beside(&settled) {
        subject.process(&settled.master)?.send(Signal::Kill)?;
        settled = subject.settled_after(settled.record.term, limit).await?;
    }
    ensure!(
        beside(&settled),
        "the master is on {}, no operator is",
        node(&settled.master)
    );
    lead(cluster, Place::On(node(&settled.master))).await?;
    Ok(settled)
}
