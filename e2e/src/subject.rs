//! One Redis under test: its state as the API server and as its own servers tell it.

use crate::client::{Client, Does, Order};
use crate::fault::Process;
use crate::history::{Balance, History};
use crate::observer::{Observer, published};
use crate::pod::{address, node, role};
use crate::resp::{Connection, Reply};
use crate::space::{Space, call, until};
use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::wait::await_condition;
use kube::runtime::watcher::watch_object;
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use redis_operator_core::record::{Found, Phase, Record, Stage};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a question to an instance may take: some write to a disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks at a resource that does not change.
const REST: Duration = Duration::from_millis(500);

/// So many read: which of the replicas one is led to is chance, and one of them has to stay healthy.
const READERS: usize = 2;

/// One Redis in a namespace.
#[derive(Clone)]
pub struct Subject {
    /// Its namespace.
    pub space: Space,
    /// Its name.
    pub name: String,
    /// How many read from its replicas in a trial.
    pub readers: usize,
    /// The reason for which its condition `Ready` may be false although it is whole.
    excused: Option<&'static str>,
}

/// A resource that is whole: master published, every wanted replica a full member, labels and slice in agreement.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The resource.
    pub redis: Redis,
    /// Its record.
    pub record: Record,
    /// The master's pod.
    pub master: Pod,
    /// The pods of the replicas.
    pub replicas: Vec<Pod>,
}

impl Settled {
    /// A node on which the master is not.
    pub fn other_node(&self) -> Result<&str> {
        let master = node(&self.master);
        let mut nodes = self.replicas.iter().map(node).filter(|node| *node != master);
        nodes.next().context("every instance is on the master's node")
    }

    /// Every pod, the master first.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        [&self.master].into_iter().chain(&self.replicas)
    }
}

impl Subject {
    /// The Redis of this name; it need not exist yet.
    pub fn new(space: &Space, name: &str) -> Self {
        Self {
            space: space.clone(),
            name: name.to_owned(),
            readers: READERS,
            excused: None,
        }
    }

    /// Without readers in its trials: behind `-replica` are pods alone that Kubernetes calls ready.
    pub fn unread(self) -> Self {
        Self { readers: 0, ..self }
    }

    /// Whole also while its condition `Ready` is false for this reason.
    pub fn excused(self, reason: &'static str) -> Self {
        Self {
            excused: Some(reason),
            ..self
        }
    }

    /// The resource as it is now.
    pub async fn get(&self) -> Result<Redis> {
        call(self.space.api::<Redis>().get(&self.name)).await
    }

    /// Its pods, by name.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let mut pods = self.space.list::<Pod>(&names::selector_text(&self.name)).await?;
        pods.sort_by_key(ResourceExt::name_any);
        Ok(pods)
    }

    /// One of its pods.
    pub async fn pod(&self, ordinal: i32) -> Result<Pod> {
        call(self.space.api::<Pod>().get(&names::pod(&self.name, ordinal))).await
    }

    /// Waits until the resource is whole in a term after `term`; 0 means the first. Looks whenever the resource changes,
    /// which it does when everything is done: tests that look all the time keep the API server busy.
    pub async fn settled_after(&self, term: u64, limit: Duration) -> Result<Settled> {
        let deadline = Instant::now() + limit;
        let mut changes = pin!(watch_object(self.space.api::<Redis>(), &self.name).default_backoff());
        loop {
            let found = self.whole_after(term).await;
            if found.is_ok() || Instant::now() > deadline {
                return found.with_context(|| format!("waited {limit:?} for {} to settle", self.name));
            }
            // what else it takes may change later
            let _changed = timeout(REST, changes.next()).await;
        }
    }

    async fn whole_after(&self, term: u64) -> Result<Settled> {
        let settled = self.whole().await?;
        ensure!(
            settled.record.term > term || term == 0,
            "still in term {}",
            settled.record.term
        );
        Ok(settled)
    }

    /// Waits until the resource is whole.
    pub async fn settled(&self, limit: Duration) -> Result<Settled> {
        self.settled_after(0, limit).await
    }

    async fn whole(&self) -> Result<Settled> {
        let redis = self.get().await?;
        ensure!(
            is(&redis, "Ready") || self.excused.is_some_and(|reason| is_false_for(&redis, "Ready", reason)),
            "not Ready: {}",
            conditions(&redis)
        );
        let record = record(&redis)?;
        ensure!(record.phase == Phase::Steady, "phase {:?}", record.phase);
        let wanted = usize::try_from(redis.spec.replicas)?;
        let full = record.at(Stage::Full).count();
        let all = record.members.len();
        ensure!(
            full + 1 == wanted && all == full,
            "{full} full of {all} members, {wanted} instances wanted"
        );
        let pods = self.pods().await?;
        ensure!(pods.len() == wanted, "{} pods of {wanted}", pods.len());
        let recorded = record.master.as_ref().context("no master recorded")?.pod.clone();
        // people are told after everything is done
        let told = redis.status.as_ref().and_then(|status| status.master.as_ref());
        ensure!(told == Some(&recorded), "the status names {told:?}, not {recorded}");
        let (masters, replicas): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| pod.name_any() == recorded);
        for pod in &replicas {
            ensure!(
                role(pod) == Some(names::ROLE_REPLICA),
                "pod {} is labelled {:?}",
                pod.name_any(),
                role(pod)
            );
        }
        let master = masters.into_iter().next().context("the master has no pod")?;
        ensure!(
            role(&master) == Some(names::ROLE_MASTER),
            "the master is labelled {:?}",
            role(&master)
        );
        let address = [address(&master)?.ip().to_string()].into();
        let behind = self.published().await?;
        ensure!(behind == address, "{behind:?} is published in place of {address:?}");
        Ok(Settled {
            redis,
            record,
            master,
            replicas,
        })
    }

    /// Addresses behind the Service of the master.
    pub async fn published(&self) -> Result<BTreeSet<String>> {
        let of_service = format!("{}={}", names::LABEL_SERVICE_NAME, names::master_service(&self.name));
        let slices = self.space.list::<EndpointSlice>(&of_service).await?;
        Ok(slices.iter().flat_map(published).collect())
    }

    /// Waits for a condition whose message has all these words; the message.
    pub async fn says(&self, words: &[&str], limit: Duration) -> Result<String> {
        let mut said = None;
        until(&format!("{} to say {words:?}", self.name), limit, async || {
            // not as a Redis: a malformed one has conditions too
            let redis = call(self.space.objects::<Redis>().get(&self.name)).await?;
            let conditions = redis.data.pointer("/status/conditions").cloned().unwrap_or_default();
            let all = conditions.as_array().into_iter().flatten();
            let mut messages = all.filter_map(|condition| condition.get("message")?.as_str());
            let wanted = |message: &&str| words.iter().all(|word| message.contains(word));
            said = messages.find(wanted).map(str::to_owned);
            ensure!(said.is_some(), "{conditions}");
            Ok(true)
        })
        .await?;
        said.context("said")
    }

    /// Changes the spec, as `kubectl patch --type=merge` does.
    pub async fn change(&self, spec: Value) -> Result<Redis> {
        self.space.merge(&self.name, json!({ "spec": spec })).await
    }

    /// Sets or removes an annotation, as `kubectl annotate --overwrite` does.
    pub async fn annotate(&self, name: &str, value: Option<&str>) -> Result<Redis> {
        let patch = json!({ "metadata": { "annotations": { name: value } } });
        self.space.merge(&self.name, patch).await
    }

    /// Scales, as `kubectl scale` does.
    pub async fn scale(&self, replicas: i32) -> Result<()> {
        let patch = kube::api::Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        call(
            self.space
                .api::<Redis>()
                .patch_scale(&self.name, &Default::default(), &patch),
        )
        .await?;
        Ok(())
    }

    /// Waits until a change of master is on record, and says for which pod. Watched: a tenth of a second later it may be over.
    pub async fn target(&self, limit: Duration) -> Result<Pod> {
        let target = |redis: &Redis| record(redis).ok().filter(|it| it.phase != Phase::Steady)?.target;
        let begun = |redis: Option<&Redis>| redis.and_then(target).is_some();
        let waiting = await_condition(self.space.api::<Redis>(), &self.name, begun);
        let redis = timeout(limit, waiting)
            .await
            .with_context(|| format!("waited {limit:?} for a change of master"))??;
        let target = redis.as_ref().and_then(target).context("nobody is to be master")?;
        call(self.space.api::<Pod>().get(&target.pod)).await
    }

    /// Starts the observer.
    pub async fn observe(&self) -> Result<Observer> {
        Observer::start(&self.space.cluster.client, &self.space.name, &self.name).await
    }

    /// Starts a client on a node where the master is not, through the Service of the replicas if it reads, else of the master.
    pub async fn client(&self, settled: &Settled, key: &str, does: Does) -> Result<Client> {
        let service = &match does {
            Does::Read => names::replica_service(&self.name),
            Does::Write { .. } | Does::Stream(_) => names::master_service(&self.name),
        };
        let found = call(self.space.api::<Service>().get(service)).await?;
        let address = found
            .spec
            .and_then(|spec| spec.cluster_ip)
            .with_context(|| format!("Service {service} has no address"))?;
        let order = Order {
            node: settled.other_node()?.to_owned(),
            address: format!("{address}:{}", names::PORT_REDIS),
            key: key.to_owned(),
            does,
            password: None,
        };
        Client::start(&self.space.cluster, &order)
    }

    /// The redis process of a pod.
    pub fn process(&self, pod: &Pod) -> Result<Process> {
        Process::of(self.space.cluster.local()?, pod, names::CONTAINER_REDIS)
    }

    /// Asks an instance directly, as the default user without a password.
    pub fn ask(&self, pod: &Pod, command: &[&str]) -> Result<Reply> {
        let asked = || -> Result<Reply> { Ok(Connection::open(address(pod)?, None)?.call_within(command, PATIENCE)?) };
        asked().with_context(|| format!("{} of {}", command.join(" "), pod.name_any()))
    }

    /// Compares what a writer saw with what the master has.
    pub fn balance(&self, settled: &Settled, key: &str, history: &History) -> Result<Balance> {
        let present = self.ask(&settled.master, &["LRANGE", key, "0", "-1"])?.texts();
        Ok(history.balance(&present))
    }
}

/// The record of a resource.
pub fn record(redis: &Redis) -> Result<Record> {
    match Found::read(redis.status.as_ref().and_then(|status| status.record.as_ref())) {
        Found::Record(record) => Ok(*record),
        other => bail!("no record: {other:?}"),
    }
}

/// Whether a condition is true for the present spec.
pub fn is(redis: &Redis, condition: &str) -> bool {
    now(redis, condition).is_some_and(|found| found.status == "True")
}

/// Whether a condition is false for the present spec, and for this reason.
fn is_false_for(redis: &Redis, condition: &str, reason: &str) -> bool {
    now(redis, condition).is_some_and(|found| found.status == "False" && found.reason == reason)
}

/// A condition, if it is told of the present spec.
fn now<'a>(redis: &'a Redis, condition: &str) -> Option<&'a Condition> {
    let mut conditions = redis.status.as_ref()?.conditions.iter();
    conditions.find(|found| found.type_ == condition && found.observed_generation == redis.metadata.generation)
}

/// All conditions in one line.
pub fn conditions(redis: &Redis) -> String {
    let status = redis.status.as_ref();
    let texts = status.iter().flat_map(|status| &status.conditions).map(|condition| {
        format!(
            "{}={} {}: {}",
            condition.type_, condition.status, condition.reason, condition.message
        )
    });
    let text = texts.collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        "no conditions".to_owned()
    } else {
        text
    }
}
