//! What looks like a failure and is none, all of it once a minute: a fork under load, a long script, a short stall, and
//! another operator that begins to lead at any moment of it.

use crate::fault::Signal;
use crate::load::Load;
use crate::log::{self, Micros};
use crate::operator;
use crate::outage::Paused;
use crate::resp::{Reply, info_field};
use crate::space::until;
use crate::subject::{Settled, Subject};
use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use std::thread::sleep;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

/// So that a snapshot takes seconds, and much changes while it is made.
pub(crate) const LOAD: Load = Load { keys: 2_000, rate: 5 };
/// How long the master runs a script: twice as long as it may be silent.
const SCRIPT: Duration = Duration::from_secs(4);
/// How long it stands still: three quarters of what it may be silent.
const STALL: Duration = Duration::from_millis(1_500);
/// How long a snapshot may take, on a machine that is busy with much else.
const SAVED: Duration = Duration::from_secs(240);
/// How long a change of the leading operator may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Everything begins and ends within this; what is left of the minute is for clients that come and go.
const EVENTS: u64 = 56;
/// When each thing begins, in seconds. The operator's turn is another second of each minute, the middle of a script or of
/// a stall among them.
const SAVE_AT: u64 = 3;
const SCRIPT_AT: u64 = 13;
const STALL_AT: u64 = 28;

/// What is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nuisance {
    /// A snapshot on the master.
    Save,
    /// A script on the master, for four seconds.
    Script,
    /// The master's process stands still for a second and a half.
    Stall,
    /// The leading operator's process is killed.
    OperatorKilled,
    /// The leading operator's pod is deleted.
    OperatorDeleted,
}

impl Nuisance {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Save,
        Self::Script,
        Self::Stall,
        Self::OperatorKilled,
        Self::OperatorDeleted,
    ];

    /// So many happen in a minute: one of the two that befall an operator.
    pub const EACH: usize = 4;

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Save => "BGSAVE",
            Self::Script => "script of 4 s",
            Self::Stall => "stall of 1.5 s",
            Self::OperatorKilled => "leading operator killed",
            Self::OperatorDeleted => "leading operator's pod deleted",
        }
    }
}

/// When one thing happened.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// What.
    pub what: Nuisance,
    /// From when on.
    pub from: Micros,
    /// When it was over.
    pub to: Micros,
}

/// Everything that happens in one minute.
pub(crate) async fn happen(subject: &Subject, before: &Settled, number: u64) -> Result<Vec<Span>> {
    let begun = Instant::now();
    let at = |second| sleep_until(begun + Duration::from_secs(second));
    let (save, script, stall, replaced) = tokio::try_join!(
        async {
            at(SAVE_AT).await;
            save(subject, before).await
        },
        async {
            at(SCRIPT_AT).await;
            script(subject, before).await
        },
        async {
            at(STALL_AT).await;
            stall(subject, before).await
        },
        async {
            at(operator_at(number)).await;
            replace_operator(subject, number.is_multiple_of(2)).await
        },
    )?;
    at(EVENTS).await;
    Ok(vec![save, script, stall, replaced])
}

/// Each of 42 seconds once in as many minutes, which cover everything else.
fn operator_at(number: u64) -> u64 {
    number.wrapping_mul(11).checked_rem(42).unwrap_or_default()
}

async fn save(subject: &Subject, before: &Settled) -> Result<Span> {
    let from = log::now();
    asked(subject, &before.master, &["BGSAVE"]).await?;
    until("the snapshot", SAVED, async || {
        let Reply::Text(info) = asked(subject, &before.master, &["INFO", "persistence"]).await? else {
            bail!("INFO is no text");
        };
        let is = |field, value: &str| info_field(&info, field).as_deref() == Some(value);
        ensure!(is("rdb_last_bgsave_status", "ok"), "the snapshot failed");
        Ok(is("rdb_bgsave_in_progress", "0"))
    })
    .await?;
    Ok(since(Nuisance::Save, from))
}

/// Runs a script on the master, and ends it.
pub async fn script(subject: &Subject, before: &Settled) -> Result<Span> {
    let from = log::now();
    let begun = Instant::now();
    let (running, master) = (subject.clone(), before.master.clone());
    let script = spawn_blocking(move || running.ask(&master, &["EVAL", "while true do end", "0"]));
    sleep_until(begun + SCRIPT).await;
    asked(subject, &before.master, &["SCRIPT", "KILL"]).await?;
    let ended = script.await?;
    let text = ended
        .as_ref()
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap_or_default();
    ensure!(text.contains("killed"), "the script answered {ended:?}");
    Ok(since(Nuisance::Script, from))
}

/// Stops the master's process for a while.
pub async fn stall(subject: &Subject, before: &Settled) -> Result<Span> {
    let process = subject.process(&before.master)?;
    // on a thread of its own: nothing else may make it longer
    let stalled = spawn_blocking(move || -> Result<Span> {
        let from = log::now();
        let stopped = Paused::stop(process)?;
        sleep(STALL);
        drop(stopped);
        Ok(since(Nuisance::Stall, from))
    });
    stalled.await?
}

/// Waits until every replica has heard the master within this second. Two silences without a word between them are one
/// silence, and that may be a failure.
pub async fn heard(subject: &Subject, before: &Settled) -> Result<()> {
    for replica in &before.replicas {
        until("a word of the master", LIMIT, async || {
            let Reply::Text(info) = asked(subject, replica, &["INFO", "replication"]).await? else {
                bail!("INFO is no text");
            };
            Ok(info_field(&info, "master_last_io_seconds_ago").as_deref() == Some("0"))
        })
        .await?;
    }
    Ok(())
}

/// Ends the leading operator, its process without asking or else its pod, and waits until another one leads and all are
/// there.
pub async fn replace_operator(subject: &Subject, killed: bool) -> Result<Span> {
    let cluster = &subject.space.cluster;
    let (leader, holder) = (operator::leader(cluster).await?, operator::holder(cluster).await?);
    let from = log::now();
    if killed {
        operator::leading_process(cluster).await?.send(Signal::Kill)?;
    } else {
        operator::space(cluster).remove::<Pod>(&leader, None).await?;
    }
    until("another operator to lead", LIMIT, async || {
        Ok(operator::holder(cluster).await? != holder)
    })
    .await?;
    if killed && operator::leader(cluster).await?.uid() != leader.uid() {
        // a new pod: kubelet lets a container that ends often wait
        operator::space(cluster).remove::<Pod>(&leader, None).await?;
    }
    operator::ready(cluster, LIMIT).await?;
    Ok(since(
        if killed {
            Nuisance::OperatorKilled
        } else {
            Nuisance::OperatorDeleted
        },
        from,
    ))
}

/// Asks without holding up what else happens.
async fn asked(subject: &Subject, pod: &Pod, command: &[&'static str]) -> Result<Reply> {
    let (subject, pod, command) = (subject.clone(), pod.clone(), command.to_vec());
    spawn_blocking(move || subject.ask(&pod, &command)).await?
}

fn since(what: Nuisance, from: Micros) -> Span {
    let to = log::now();
    Span { what, from, to }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_operator_has_its_turn_at_any_second() {
        let seconds: BTreeSet<_> = (0..42).map(operator_at).collect();
        assert_eq!(seconds, (0..42).collect());
        assert!(
            seconds.contains(&SCRIPT_AT) && seconds.contains(&STALL_AT),
            "the same second, say"
        );
    }
}
