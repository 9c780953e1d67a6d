//! One fault under writes, from the first write to the verdict: what the demo, the figures and most failover tests do.

use crate::client::{Client, Does};
use crate::cluster::Cluster;
use crate::history::History;
use crate::log::{self, Micros};
use crate::reign::two_masters;
use crate::space::{call, until};
use crate::subject::{Settled, Subject};
pub use crate::verdict::{Account, Reading, Verdict};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::ListParams;
use redis_operator_core::names;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long the writers write before the fault.
const BEFORE: Duration = Duration::from_millis(500);
/// For how long nothing that kube-proxy looks at has changed before that: it syncs what it hears at most a second later, and
/// leaves a second until it syncs again.
const STILL: Duration = Duration::from_millis(1_500);
/// How long the first acknowledgement may take, before the fault and after it.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// How long the rest may take: restart of the container, kubelet's back-off included, and joining.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);

/// Whether the master has to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Another instance becomes master.
    Failover,
    /// The master stays.
    SameMaster,
    /// Whoever it is: the caller judges.
    Anyone,
}

/// Does something to a settled resource on a quiet cluster while two writers write, one of them with WAIT 1, and readers
/// read from its replicas, and judges what they saw once everybody has rejoined.
pub async fn run(
    subject: &Subject,
    expect: Expect,
    fault: impl AsyncFnOnce(&Settled) -> Result<Micros>,
) -> Result<Verdict> {
    subject.settled(SETTLE_LIMIT).await?;
    still(&subject.space.cluster).await?;
    Box::pin(under_writes(subject, expect, BEFORE, fault)).await
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
    let mut readers = Vec::new();
    for (name, wait) in orders {
        // a list of its own for each run: what an earlier one left behind is no concern
        let key = format!("{}-{name}-{}", subject.name, log::now());
        writers.push((wait, subject.client(&before, &key, Does::Write { wait }).await?));
    }
    let (_, plain) = writers.first().context("a writer")?;
    for _ in 0..subject.readers {
        readers.push(subject.client(&before, &plain.key, Does::Read).await?);
    }
    everybody(&mut writers, &mut readers, 0).await?;
    sleep(warm_up).await;
    let begun = log::now();
    let at = fault(&before).await?;
    let after = match expect {
        Expect::Failover => subject.settled_after(before.record.term, SETTLE_LIMIT).await?,
        Expect::SameMaster | Expect::Anyone => subject.settled(SETTLE_LIMIT).await?,
    };
    let same = after.record.master == before.record.master;
    ensure!(
        expect == Expect::Anyone || same == (expect == Expect::SameMaster),
        "master before {:?}, after {:?}",
        before.record.master,
        after.record.master
    );
    let settled = log::now();
    everybody(&mut writers, &mut readers, settled).await?;
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
    let seen = observer.stop()?;
    let mut readings = Vec::new();
    for reader in readers {
        let history = reader.stop().await?;
        readings.push(Reading {
            gap: history.gap(begun, ended),
            cuts: seen.lives.cuts(&history),
            history,
        });
    }
    let histories: Vec<History> = accounts.iter().map(|account| account.history.clone()).collect();
    Ok(Verdict {
        fault: at,
        before,
        after,
        accounts,
        readings,
        seen,
        two_masters: two_masters(&histories),
        settled: Duration::from_micros(settled.saturating_sub(at)),
    })
}

/// Waits until everybody has succeeded with something that was begun after a moment.
async fn everybody(writers: &mut [(Option<u32>, Client)], readers: &mut [Client], moment: Micros) -> Result<()> {
    for client in writers.iter_mut().map(|(_, writer)| writer).chain(readers) {
        client.acknowledged_after(moment, WRITE_LIMIT).await?;
    }
    Ok(())
}

/// Waits until kube-proxy is free to sync at once, and no instance is on its way out whose end would make it do so.
async fn still(cluster: &Cluster) -> Result<()> {
    let ours = format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY);
    let pods = Api::<Pod>::all(cluster.client.clone());
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    let services = Api::<Service>::all(cluster.client.clone());
    let slices = Api::<EndpointSlice>::all(cluster.client.clone());
    let (mut seen, mut since) = (Vec::new(), Instant::now());
    until("all other instances to be gone or there", SETTLE_LIMIT, async || {
        let pods = call(pods.list_metadata(&ListParams::default().labels(&ours)))
            .await?
            .items;
        let spaces = call(namespaces.list_metadata(&ListParams::default())).await?.items;
        let services = call(services.list_metadata(&ListParams::default())).await?.items;
        let slices = call(slices.list_metadata(&ListParams::default())).await?.items;
        let going = |meta: &&ObjectMeta| meta.deletion_timestamp.is_some();
        let spaces: Vec<_> = spaces.iter().map(|it| &it.metadata).filter(going).collect();
        let left = |meta: &&ObjectMeta| spaces.iter().any(|it| it.name == meta.namespace);
        let pods = pods.iter().map(|it| &it.metadata);
        let proxied = services
            .iter()
            .map(|it| &it.metadata)
            .chain(slices.iter().map(|it| &it.metadata));
        let ending = pods.chain(proxied.clone()).any(|meta| going(&meta) || left(&meta));
        let versions: Vec<_> = proxied.map(|meta| meta.resource_version.clone()).collect();
        if versions != seen {
            (seen, since) = (versions, Instant::now());
        }
        Ok(!ending && since.elapsed() >= STILL)
    })
    .await
}
