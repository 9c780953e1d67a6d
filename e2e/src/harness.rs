//! What surrounds a cluster test: a runtime, a namespace of its own, a limit, and everything worth knowing when it fails.

use crate::cluster::Cluster;
use crate::lent;
use crate::operator;
use crate::pod::{restarts, role};
use crate::space::{Space, call};
use crate::subject::Subject;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::ListParams;
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use serde_json::{Value, json};
use std::env;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// No test of a few cases takes longer.
const TEST_LIMIT: Duration = Duration::from_secs(240);

/// So many lines of each operator's log are shown after a failure.
const TAIL: usize = 60;

/// What a test needs of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Any cluster with the operator in it.
    Cluster,
    /// Pods and Services that can be reached, too.
    Network,
    /// Nodes and processes to which faults can be done, too.
    Nodes,
}

impl Needs {
    /// What is missing; none if all of it is there.
    fn missing(self, cluster: &Cluster) -> Option<&'static str> {
        match self {
            Self::Network if !cluster.reached => Some(
                "pods and Services that can be reached: run it in a pod or on a node of the cluster that KUBECONFIG names",
            ),
            Self::Nodes if cluster.local.is_none() => {
                Some("the nodes of the local cluster and KUBECONFIG names another one")
            }
            _ => None,
        }
    }
}

/// Runs a test in a namespace of its own and deletes that; the next test does not wait until it is gone.
pub fn run(id: &str, needs: Needs, test: impl AsyncFnOnce(&Space) -> Result<()>) -> Result<()> {
    run_within(TEST_LIMIT, id, needs, test)
}

/// As [`run`], for a test of many cases.
pub fn run_within(limit: Duration, id: &str, needs: Needs, test: impl AsyncFnOnce(&Space) -> Result<()>) -> Result<()> {
    on_cluster(id, needs, async |cluster| {
        let space = Space::create(cluster, &format!("e2e-{id}-{}", std::process::id())).await?;
        let outcome = judged(limit, id, &space, Box::pin(test(&space))).await;
        outcome.and(space.delete().await)
    })
}

/// Runs a test on a settled Redis of three instances with every default, whose history is any. It leaves the spec alone;
/// the next test gets the same one if it succeeds.
pub fn run_lent(id: &str, needs: Needs, test: impl AsyncFnOnce(&Subject) -> Result<()>) -> Result<()> {
    on_cluster(id, needs, async |cluster| {
        let redis = lent::borrow(cluster, id).await?;
        let outcome = judged(TEST_LIMIT, id, &redis.space, Box::pin(test(&redis))).await;
        if outcome.is_err() {
            redis.space.delete().await?;
            return outcome;
        }
        lent::give_back(&redis).await
    })
}

/// Without what it needs a test is skipped, and says so.
fn on_cluster(id: &str, needs: Needs, test: impl AsyncFnOnce(&Cluster) -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let cluster = Cluster::find().await?;
        if let Some(missing) = needs.missing(&cluster) {
            println!("{id}: skipped, for it needs {missing}");
            return Ok(());
        }
        test(&cluster).await
    })
}

/// Within its limit; how long it took, and everything worth knowing if it failed. On the heap, for unoptimised a test may be
/// more than a thread's stack.
async fn judged(
    limit: Duration,
    id: &str,
    space: &Space,
    test: Pin<Box<impl Future<Output = Result<()>>>>,
) -> Result<()> {
    let begun = Instant::now();
    let outcome = timeout(limit, test).await;
    let outcome = outcome
        .with_context(|| format!("{id} did not end within {limit:?}"))
        .flatten();
    println!("{id}: {:.1} s", begun.elapsed().as_secs_f64());
    if outcome.is_err() {
        println!("{}", describe(space).await.unwrap_or_else(|error| format!("{error:#}")));
    }
    outcome
}

/// The image of the servers.
pub fn image() -> String {
    env::var("E2E_REDIS_IMAGE").unwrap_or_else(|_| "docker.io/library/redis:7.0".to_owned())
}

/// The image of redis_exporter, in the version that the cluster's nodes have.
pub fn exporter_image() -> String {
    env::var("E2E_EXPORTER_IMAGE").unwrap_or_else(|_| "docker.io/oliver006/redis_exporter:v1.74.0".to_owned())
}

/// An image whose servers read what those of [`image`] write, and not the other way.
pub fn newer_image() -> String {
    env::var("E2E_NEWER_IMAGE").unwrap_or_else(|_| "docker.io/valkey/valkey:8.1".to_owned())
}

/// A spec with this many instances and every default.
pub fn spec(replicas: i32) -> Value {
    json!({ "replicas": replicas, "image": image() })
}

/// A spec with more fields.
pub fn spec_with(replicas: i32, more: Value) -> Value {
    let mut spec = spec(replicas);
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    spec
}

/// Everything in a namespace that helps to understand a failure.
pub async fn describe(space: &Space) -> Result<String> {
    let mut text = format!("--- namespace {}\n", space.name);
    // not as a Redis: it may be a malformed one
    for redis in call(space.objects::<Redis>().list(&ListParams::default())).await?.items {
        let status = redis.data.get("status").cloned().unwrap_or_default();
        text.push_str(&format!(
            "{} {}\n",
            redis.name_any(),
            serde_json::to_string_pretty(&status)?
        ));
    }
    for pod in space.list::<Pod>("").await? {
        let status = pod.status.clone().unwrap_or_default();
        text.push_str(&format!(
            "pod {} {:?} role {:?}, {} restarts, address {:?}, deleting {:?}\n",
            pod.name_any(),
            status.phase,
            role(&pod),
            restarts(&pod, names::CONTAINER_REDIS),
            status.pod_ip,
            pod.metadata.deletion_timestamp
        ));
    }
    for event in space.list::<Event>("").await? {
        let object = event.involved_object.name.unwrap_or_default();
        let reason = event.reason.unwrap_or_default();
        text.push_str(&format!(
            "event {object} {reason}: {}\n",
            event.message.unwrap_or_default()
        ));
    }
    for pod in operator::pods(&space.cluster).await? {
        let log = operator::space(&space.cluster).log(&pod.name_any(), 1000).await;
        let log = log.unwrap_or_else(|error| error.to_string());
        text.push_str(&format!("--- log of {}\n{}\n", pod.name_any(), tail(&log)));
    }
    Ok(text)
}

/// The last lines of a log, without those that only the author of a rule reads.
fn tail(log: &str) -> String {
    let told: Vec<_> = log.lines().filter(|line| !line.contains(" DEBUG ")).collect();
    let skipped = told.len().saturating_sub(TAIL);
    told.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
}
