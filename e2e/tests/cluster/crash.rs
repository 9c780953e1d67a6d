//! The operator ends, or is late, at every boundary between two steps of a failover and of what follows it.
//!
//! One operator is armed with a fail point, another stands by. The master's process is killed under writes; the armed one
//! ends (or stops, and is resumed after its successor has finished) exactly there. `E2E_CRASH=all` stops it everywhere too.

use crate::{SETTLE, START, kill_master};
use anyhow::{Context, Result, ensure};
use e2e::client::Writer;
use e2e::harness::{Needs, run, spec};
use e2e::local_operator::{LocalOperator, State};
use e2e::log;
use e2e::operator;
use e2e::space::{Space, call, until};
use e2e::subject::{Settled, Subject};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::time::{Duration, Instant};

/// From the intent to the last sibling.
const FAILOVER: [&str; 9] = [
    "elect.before-record-electing",
    "elect.before-freeze",
    "elect.after-freeze",
    "promote.before-record-promoting",
    "promote.before-promote",
    "promote.after-promote",
    "publish-the-new-master.before-record-steady",
    "publish-the-new-master.before-follow",
    "publish-the-new-master.after-follow",
];
/// What the new master brings with it.
const AFTERWARDS: [&str; 4] = [
    "members-are-full.before-record-steady",
    "set-the-write-guard.before-guard",
    "raise-the-quorum.before-record-steady",
    "label.before-label",
];
/// A fail point is reached within this, the return of a pod included.
const REACHED: Duration = Duration::from_secs(30);
/// A lease of a second, taken over.
const LEADS: Duration = Duration::from_secs(10);

#[test]
fn f04_the_operator_is_killed_between_any_two_steps() -> Result<()> {
    run("f04", Needs::Nodes, async |space| {
        let points = FAILOVER.iter().chain(&AFTERWARDS).map(|point| (*point, "kill"));
        without_the_deployed(space, points.collect()).await
    })
}

#[test]
fn f14_f19_o07_a_late_operator_does_no_harm() -> Result<()> {
    run("f14", Needs::Nodes, async |space| {
        let more = if std::env::var("E2E_CRASH").is_ok_and(|it| it == "all") {
            &AFTERWARDS[..]
        } else {
            &[]
        };
        let points = FAILOVER.iter().chain(more).map(|point| (*point, "stop"));
        without_the_deployed(space, points.collect()).await
    })
}

/// The cluster's own operators would do the work in the place of the test's.
async fn without_the_deployed(space: &Space, points: Vec<(&str, &str)>) -> Result<()> {
    let cluster = &space.cluster;
    operator::scale(cluster, 0).await?;
    let outcome = cases(space, points).await;
    operator::scale(cluster, 2).await?;
    operator::ready(cluster, SETTLE).await?;
    outcome
}

async fn cases(space: &Space, points: Vec<(&str, &str)>) -> Result<()> {
    let mut standby = LocalOperator::start(space, "first", None)?;
    let redis = space.apply("a", spec(3)).await?;
    let settled = redis.settled(START).await?;
    let observer = redis.observe().await?;
    let mut plain = redis.writer(&settled, "crash-plain", None).await?;
    let mut waiting = redis.writer(&settled, "crash-wait", Some(1)).await?;
    println!("{:<48} {:>6} {:>14}", "fail point", "action", "writes after ms");
    for (number, (point, action)) in points.iter().enumerate() {
        let case = Case {
            space,
            redis: &redis,
            point,
            action,
            number,
        };
        standby = case
            .run(standby, &mut plain, &mut waiting)
            .await
            .with_context(|| format!("{point}:{action}"))?;
    }
    let after = redis.settled(SETTLE).await?;
    drop(standby);
    for (writer, promised) in [(plain, false), (waiting, true)] {
        let key = writer.key.clone();
        let history = writer.stop().await?;
        let balance = redis.balance(&after, &key, &history)?;
        println!(
            "{key}: {} acknowledged, {} lost",
            balance.acknowledged,
            balance.lost.len()
        );
        ensure!(
            !promised || balance.lost.is_empty(),
            "lost after WAIT 1: {:?}",
            balance.lost
        );
    }
    let seen = observer.stop()?;
    let violations = seen.violations();
    ensure!(violations.is_empty(), "two at once: {violations:?}");
    ensure!(seen.blind == 0, "a watch was interrupted: it proves nothing");
    Ok(())
}

struct Case<'a> {
    space: &'a Space,
    redis: &'a Subject,
    point: &'a str,
    action: &'a str,
    number: usize,
}

impl Case<'_> {
    /// The operator of the case before hands over to an armed one; its standby is the one that is left at the end.
    async fn run(&self, before: LocalOperator, plain: &mut Writer, waiting: &mut Writer) -> Result<LocalOperator> {
        before.signal("-TERM")?;
        let name = |role| format!("{role}-{}-{}", self.number, self.action);
        let point = format!("{}:{}", self.point, self.action);
        let mut armed = LocalOperator::start(self.space, &name("armed"), Some(&point))?;
        armed.leads(self.space, LEADS).await?;
        drop(before);
        let mut standby = LocalOperator::start(self.space, &name("standby"), None)?;
        let settled = self.held_by(&name("armed")).await?;
        let killed = kill_master(self.redis, &settled)?;
        let state = armed.reached(REACHED).await?;
        standby.leads(self.space, LEADS).await?;
        let after = self.redis.settled_after(settled.record.term, SETTLE).await?;
        ensure!(
            after.record.holder.starts_with(&name("standby")),
            "held by {}",
            after.record.holder
        );
        let first = plain.acknowledged_after(log::now(), START).await?;
        waiting.acknowledged_after(log::now(), START).await?;
        if state == State::Stopped {
            self.resumes(&armed, &after).await?;
        }
        let ms = first.at.saturating_sub(killed) / 1000;
        println!("{:<48} {:>6} {:>14}", self.point, self.action, ms);
        // a new pod, or kubelet's back-off is all that the next cases test
        self.space.remove(&settled.master, None).await?;
        let (name, uid) = (settled.master.name_any(), settled.master.uid());
        until("a new pod", SETTLE, async || {
            Ok(call(self.space.api::<Pod>().get(&name)).await?.uid() != uid)
        })
        .await?;
        // joined before the next case begins, or its joining is where the next armed operator ends
        self.redis.settled(SETTLE).await?;
        Ok(standby)
    }

    /// Waits until the armed operator holds the record and the resource is whole.
    async fn held_by(&self, name: &str) -> Result<Settled> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let settled = self.redis.settled(SETTLE).await?;
            if settled.record.holder.starts_with(name) {
                return Ok(settled);
            }
            ensure!(Instant::now() < deadline, "{name} does not take the record over");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The late one wakes with a step in its hand, notices that it lost the lease, and has changed nothing.
    async fn resumes(&self, armed: &LocalOperator, after: &Settled) -> Result<()> {
        armed.signal("-CONT")?;
        armed.says("the lease is lost", LEADS).await?;
        let now = self.redis.settled(SETTLE).await?;
        let master = |settled: &Settled| settled.record.master.as_ref().map(|master| master.run_id.clone());
        ensure!(
            master(&now) == master(after) && now.record.term == after.record.term,
            "{:?} was {:?}",
            now.record,
            after.record
        );
        for pod in after.pods() {
            let there = call(self.space.api::<Pod>().get(&pod.name_any())).await?;
            ensure!(there.uid() == pod.uid(), "{} was replaced", pod.name_any());
        }
        Ok(())
    }
}
