//! One fault under writes, from the first write to the verdict: what the demo, the figures and most failover tests do.

use crate::cluster::Cluster;
use crate::history::{Balance, Gap, History};
use crate::ledger::Seen;
use crate::log::{self, Micros};
use crate::observer::PUBLISHED;
use crate::reign::{TwoMasters, two_masters};
use crate::space::{call, until};
use crate::subject::{Settled, Subject};
use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::ListParams;
use redis_operator_core::api::LastFailover;
use redis_operator_core::names;
use std::time::Duration;
use tokio::time::sleep;

/// How long the writers write before the fault. Whatever the first start or the fault before has set in motion, such as
/// readiness, Endpoints and with them kube-proxy's second between two syncs, has come to rest by then.
const BEFORE: Duration = Duration::from_secs(3);
/// How long the first acknowledgement may take, before the fault and after it.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// How long the rest may take: restart of the container, kubelet's back-off included, and joining.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);

/// What one writer has to say.
#[derive(Clone, Debug)]
pub struct Account {
    /// The list it wrote.
    pub key: String,
    /// Replicas that it waited for.
    pub wait: Option<u32>,
    /// Longest time without an acknowledgement.
    pub gap: Gap,
    /// What became of its values.
    pub balance: Balance,
    /// Everything it saw.
    pub history: History,
}

/// What a fault did.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// When it happened.
    pub fault: Micros,
    /// Before it.
    pub before: Settled,
    /// After everybody has rejoined.
    pub after: Settled,
    /// One per writer: plain, and with WAIT 1.
    pub accounts: Vec<Account>,
    /// What the watches saw.
    pub seen: Seen,
    /// Acknowledgements by two servers at once.
    pub two_masters: Vec<TwoMasters>,
    /// From the fault until everybody has rejoined.
    pub settled: Duration,
}

/// Whether the master has to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Another instance becomes master.
    Failover,
    /// The master stays.
    SameMaster,
}

/// Does something to a settled resource on a quiet cluster while two writers write, one of them with WAIT 1, and judges
/// what they saw once everybody has rejoined.
pub async fn run(
    subject: &Subject,
    expect: Expect,
    fault: impl AsyncFnOnce(&Settled) -> Result<Micros>,
) -> Result<Verdict> {
    subject.settled(SETTLE_LIMIT).await?;
    quiet(&subject.space.cluster).await?;
    under_writes(subject, expect, BEFORE, fault).await
}

/// The same on a cluster that may be busy with others, after writing for this long: gaps say little then.
pub async fn under_writes(
    subject: &Subject,
    expect: Expect,
    warm_up: Duration,
    fault: impl AsyncFnOnce(&Settled) -> Result<Micros>,
) -> Result<Verdict> {
    let before = subject.settled(SETTLE_LIMIT).await?;
    let observer = subject.observe().await?;
    let orders = [("plain", None), ("wait", Some(1))];
    let mut writers = Vec::new();
    for (name, wait) in orders {
        // a list of its own for each run: what an earlier one left behind is no concern
        let key = format!("{}-{name}-{}", subject.name, log::now());
        writers.push((wait, subject.writer(&before, &key, wait).await?));
    }
    for (_, writer) in &mut writers {
        writer.acknowledged_after(0, WRITE_LIMIT).await?;
    }
    sleep(warm_up).await;
    let begun = log::now();
    let at = fault(&before).await?;
    let after = match expect {
        Expect::Failover => subject.settled_after(before.record.term, SETTLE_LIMIT).await?,
        Expect::SameMaster => subject.settled(SETTLE_LIMIT).await?,
    };
    let same = after.record.master == before.record.master;
    ensure!(
        same == (expect == Expect::SameMaster),
        "master before {:?}, after {:?}",
        before.record.master,
        after.record.master
    );
    let settled = log::now();
    for (_, writer) in &mut writers {
        writer.acknowledged_after(settled, WRITE_LIMIT).await?;
    }
    let ended = log::now();
    let mut accounts = Vec::new();
    for (wait, writer) in writers {
        let key = writer.key.clone();
        let history = writer.stop().await?;
        accounts.push(Account {
            gap: history.gap(begun, ended),
            balance: subject.balance(&after, &key, &history)?,
            key,
            wait,
            history,
        });
    }
    let histories: Vec<History> = accounts.iter().map(|account| account.history.clone()).collect();
    Ok(Verdict {
        fault: at,
        before,
        after,
        accounts,
        seen: observer.stop()?,
        two_masters: two_masters(&histories),
        settled: Duration::from_micros(settled.saturating_sub(at)),
    })
}

/// Waits until no instance and no namespace is on its way out: each pod and each Service that goes costs kube-proxy a sync,
/// and the next publication waits for its second to pass.
async fn quiet(cluster: &Cluster) -> Result<()> {
    let instances = format!("{}={}", "app.kubernetes.io/managed-by", names::MANAGED_BY);
    let pods = Api::<Pod>::all(cluster.client.clone());
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    until("all other instances to be gone or there", SETTLE_LIMIT, async || {
        let found = call(pods.list(&ListParams::default().labels(&instances))).await?;
        let spaces = call(namespaces.list_metadata(&ListParams::default())).await?;
        let going = |meta: &ObjectMeta| meta.deletion_timestamp.is_some();
        Ok(!found.items.iter().any(|pod| going(&pod.metadata)) && !spaces.items.iter().any(|it| going(&it.metadata)))
    })
    .await
}

impl Verdict {
    /// The longest time in which one of the writers could not write.
    pub fn gap(&self) -> Duration {
        self.accounts
            .iter()
            .map(|account| account.gap.length())
            .max()
            .unwrap_or_default()
    }

    /// Acknowledged writes that are lost; with `waited`, only those that WAIT had acknowledged.
    pub fn lost(&self, waited: bool) -> usize {
        let counted = self.accounts.iter().filter(|account| account.wait.is_some() == waited);
        counted.map(|account| account.balance.lost.len()).sum()
    }

    /// When another server than the master before acknowledged the first write.
    pub fn first_write(&self) -> Option<Micros> {
        let before = self.before.record.master.as_ref().map(|master| master.run_id.as_str());
        let all = self.accounts.iter().flat_map(|account| account.history.acknowledged());
        let by_another = all.filter(|attempt| attempt.at > self.fault && attempt.server.as_deref() != before);
        by_another.map(|attempt| attempt.at).min()
    }

    /// From the fault until another address than the one before was published, as the watch saw it.
    pub fn published(&self) -> Option<Duration> {
        let at = self.seen.first(PUBLISHED, self.fault)?.at;
        Some(Duration::from_micros(at.saturating_sub(self.fault)))
    }

    /// What the operator says about it.
    pub fn last_failover(&self) -> Option<&LastFailover> {
        self.after.redis.status.as_ref()?.last_failover.as_ref()
    }

    /// What no fault may do: lose what WAIT acknowledged, invent or repeat a value, or make two masters.
    pub fn ensure_safe(&self) -> Result<()> {
        self.ensure_kept()?;
        let violations = self.seen.violations();
        ensure!(violations.is_empty(), "two at once: {violations:?}");
        ensure!(
            self.seen.blind == 0,
            "a watch was interrupted {} times: it proves nothing",
            self.seen.blind
        );
        Ok(())
    }

    /// The same by what the writers saw alone: without the API server no watch sees anything.
    pub fn ensure_kept(&self) -> Result<()> {
        for account in &self.accounts {
            let Balance {
                lost, doubled, foreign, ..
            } = &account.balance;
            ensure!(account.wait.is_none() || lost.is_empty(), "lost after WAIT: {lost:?}");
            ensure!(
                doubled.is_empty() && foreign.is_empty(),
                "doubled {doubled:?}, foreign {foreign:?}"
            );
        }
        ensure!(
            self.two_masters.is_empty(),
            "two masters took writes: {:?}",
            self.two_masters
        );
        Ok(())
    }

    /// [`Verdict::ensure_safe`], nothing lost at all, and no gap longer than this.
    pub fn ensure_smooth(&self, limit: Duration) -> Result<()> {
        self.ensure_safe()?;
        ensure!(self.lost(false) == 0, "{} plain writes lost", self.lost(false));
        let gap = self.gap();
        ensure!(gap <= limit, "nobody could write for {gap:?}; allowed are {limit:?}");
        Ok(())
    }

    /// Who was published and labelled from the fault on, in milliseconds after it: `published 2410: 10.244.1.3`.
    pub fn timeline(&self) -> String {
        let after = self.seen.timeline.iter().filter(|entry| entry.at > self.fault);
        let entries = after.map(|entry| {
            let ms = entry.at.saturating_sub(self.fault) / 1000;
            let holders: Vec<_> = entry.holders.iter().map(String::as_str).collect();
            format!(
                "{} {ms}: {}",
                entry.title,
                if holders.is_empty() {
                    "nobody".to_owned()
                } else {
                    holders.join("+")
                }
            )
        });
        entries.collect::<Vec<_>>().join("; ")
    }

    /// One line for a log.
    pub fn line(&self) -> String {
        let troubles = self
            .accounts
            .iter()
            .map(|account| format!("{:?}", account.history.troubles_since(self.fault)));
        format!(
            "published {} ms after, gap {} ms, lost {} plain and {} with WAIT 1 of {}, back after {} ms, errors {} ({})",
            self.published().map_or(0, |after| after.as_millis()),
            self.gap().as_millis(),
            self.lost(false),
            self.lost(true),
            self.accounts
                .iter()
                .map(|account| account.balance.acknowledged)
                .sum::<usize>(),
            self.settled.as_millis(),
            troubles.collect::<Vec<_>>().join(" "),
            self.timeline()
        )
    }
}
