//! A Redis of three instances that tests lend each other: most of a short test's time would be its first start.

use crate::cluster::Cluster;
use crate::harness::spec;
use crate::pod::{node, restarts};
use crate::space::{Space, call};
use crate::subject::{Settled, Subject};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use redis_operator_core::names;
use std::collections::BTreeSet;
use std::iter;
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of its namespaces; there are as many that are not on their way out as tests that run at once.
const PREFIX: &str = "e2e-lent-";
/// Its name in there.
const NAME: &str = "a";
/// A first start, images present, or the rest of what the last test has set in motion.
const START: Duration = Duration::from_secs(60);

/// The namespaces of those with which a test of this process is busy.
static BUSY: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A Redis that nobody else has meanwhile. Dropping it gives it back.
pub(crate) struct Loan {
    pub(crate) redis: Subject,
}

impl Loan {
    /// None if another test is busy with it.
    fn of(redis: Subject) -> Option<Self> {
        let free = busy().insert(redis.space.name.clone());
        free.then(|| Self { redis })
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        busy().remove(&self.redis.space.name);
    }
}

/// Names alone are in there: whoever panicked with it left nothing half done.
fn busy() -> MutexGuard<'static, BTreeSet<String>> {
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One that an earlier test left behind if it is as good as new, else a new one.
pub(crate) async fn borrow(cluster: &Cluster, id: &str) -> Result<Loan> {
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    for found in call(namespaces.list_metadata(&ListParams::default())).await?.items {
        if !found.name_any().starts_with(PREFIX) || found.meta().deletion_timestamp.is_some() {
            continue;
        }
        let Some(loan) = Loan::of(Subject::new(&Space::existing(cluster, &found.name_any()), NAME)) else {
            continue;
        };
        match loan.redis.settled(START).await.and_then(|settled| as_new(&settled)) {
            Ok(()) => return Ok(loan),
            Err(worn) => {
                println!("a new one is lent from here on: {worn:#}");
                loan.redis.space.delete().await?;
            }
        }
    }
    let name = format!("{PREFIX}{id}-{}", process::id());
    let loan = Loan::of(Subject::new(&Space::existing(cluster, &name), NAME)).context("busy before it exists")?;
    Space::create(cluster, &name).await?.apply(NAME, spec(3)).await?;
    loan.redis.settled(START).await?;
    Ok(loan)
}

/// Kubelet waits before it starts a container for the third time, and a test kills the master as a rule; whoever cuts a node
/// off counts on one instance there.
fn as_new(settled: &Settled) -> Result<()> {
    let redis = &settled.redis;
    ensure!(redis.metadata.generation == Some(1), "its spec was changed");
    ensure!(
        redis.annotations().is_empty() && redis.labels().is_empty(),
        "somebody has left a wish or a label"
    );
    for (pod, allowed) in settled.pods().zip(iter::once(0).chain(iter::repeat(1))) {
        let restarts = restarts(pod, names::CONTAINER_REDIS);
        ensure!(restarts <= allowed, "{} restarted {restarts} times", pod.name_any());
    }
    let nodes: BTreeSet<_> = settled.pods().map(node).collect();
    ensure!(nodes.len() == settled.pods().count(), "they are on {nodes:?} alone");
    Ok(())
}
