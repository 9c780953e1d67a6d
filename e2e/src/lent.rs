//! A Redis of three instances that tests lend each other: most of a short test's time would be its first start.

use crate::cluster::Cluster;
use crate::harness::spec;
use crate::pod::{node, restarts};
use crate::space::{Space, call};
use crate::subject::{Settled, Subject};
use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams, PartialObjectMeta, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use redis_operator_core::names;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::iter;
use std::process;
use std::time::Duration;

/// Of its namespaces; there are as many that are not on their way out as tests that run at once.
const PREFIX: &str = "e2e-lent-";
/// Its name in there.
const NAME: &str = "a";
/// The label of a namespace with which no test is busy. Whoever takes it off first has it, for tests run in processes of
/// their own.
const FREE: &str = "e2e-free";
/// A first start, images present, or the rest of what the last test has set in motion.
const START: Duration = Duration::from_secs(60);

/// One that an earlier test gave back if it is as good as new, else a new one. Nobody else has it until it is given back.
pub(crate) async fn borrow(cluster: &Cluster, id: &str) -> Result<Subject> {
    let free = ListParams::default().labels(FREE);
    for found in call(namespaces(cluster).list_metadata(&free)).await?.items {
        if found.meta().deletion_timestamp.is_some() || !take(cluster, &found).await? {
            continue;
        }
        let redis = Subject::new(&Space::existing(cluster, &found.name_any()), NAME);
        match redis.settled(START).await.and_then(|settled| as_new(&settled)) {
            Ok(()) => return Ok(redis),
            Err(worn) => {
                println!("a new one is lent from here on: {worn:#}");
                redis.space.delete().await?;
            }
        }
    }
    let name = format!("{PREFIX}{id}-{}", process::id());
    let redis = Space::create(cluster, &name).await?.apply(NAME, spec(3)).await?;
    redis.settled(START).await?;
    Ok(redis)
}

/// The next test may have it.
pub(crate) async fn give_back(redis: &Subject) -> Result<()> {
    let free = json!({ "metadata": { "labels": { FREE: "" } } });
    label(&redis.space.cluster, &redis.space.name, &free).await
}

/// Whether nobody was faster.
async fn take(cluster: &Cluster, found: &PartialObjectMeta<Namespace>) -> Result<bool> {
    let taken = json!({ "metadata": { "resourceVersion": found.resource_version(), "labels": { FREE: null } } });
    match label(cluster, &found.name_any(), &taken).await {
        Err(error) if error.downcast_ref().is_some_and(is_conflict) => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict())
}

async fn label(cluster: &Cluster, name: &str, patch: &Value) -> Result<()> {
    let namespaces = namespaces(cluster);
    call(namespaces.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch))).await?;
    Ok(())
}

fn namespaces(cluster: &Cluster) -> Api<Namespace> {
    Api::all(cluster.client.clone())
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
