//! Local copies of everything that a pass reads, kept current by watches from the start of the process on: a standby
//! that takes over has them already, and nothing polls the API server.

mod concerned;
mod shrunk;

use crate::attempts::Attempts;
use crate::freshness::{Freshness, Kept};
use crate::trigger::Triggers;
pub use concerned::redis_of;
use concerned::{itself, running_on, users_of};
use futures::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::core::DeserializeGuard;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use serde::de::DeserializeOwned;
use shrunk::{only_version, shrink_managed_fields, trim_node};
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A resource as the API server has it, or what is wrong with it: one that cannot be read must not hide the others.
pub type Guarded = DeserializeGuard<Redis>;

/// All local copies. Cheap to clone. They may be late, never wrong about what they have seen.
#[derive(Clone)]
pub struct Mirrors {
    /// The resources themselves.
    pub redis: Store<Guarded>,
    /// Pods of all resources.
    pub pods: Store<Pod>,
    /// StatefulSets of all resources.
    pub stateful_sets: Store<StatefulSet>,
    /// ConfigMaps of all resources.
    pub config_maps: Store<ConfigMap>,
    /// Secrets of all resources, made by the operator; not those that users refer to.
    pub secrets: Store<Secret>,
    /// Name and version of every Secret, for those that users refer to.
    pub versions: Store<PartialObjectMeta<Secret>>,
    /// Services of all resources.
    pub services: Store<Service>,
    /// PodDisruptionBudgets of all resources.
    pub disruption_budgets: Store<PodDisruptionBudget>,
    /// EndpointSlices that the operator or (for Services with a selector) Kubernetes made for our Services.
    pub slices: Store<EndpointSlice>,
    /// Nodes: metadata, boot id, taints and whether they are cordoned; nothing else is kept.
    pub nodes: Store<Node>,
    /// Whether they are kept current.
    pub freshness: Freshness,
}

/// Where to watch.
#[derive(Clone)]
pub struct Scope {
    /// A client without a read limit shorter than `limit`.
    pub client: Client,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// Longest life of one watch.
    pub limit: Duration,
}

impl Mirrors {
    /// Begins to watch. The tasks never end by themselves; if one does (a panic), the copies are stale for ever and the
    /// process should end.
    pub fn start(scope: &Scope, triggers: &Triggers) -> (Self, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        let freshness = Freshness::new(scope.limit);
        let told = (triggers, &freshness);
        let redis: Store<Guarded> = mirror(
            &mut tasks,
            scope.every(),
            scope.config(),
            told,
            shrink_managed_fields,
            (itself, never),
        );
        let all = redis.clone();
        let users = move |secret: &PartialObjectMeta<Secret>| users_of(&all, secret);
        let pods: Store<Pod> = owned(&mut tasks, scope, told, going);
        let running = pods.clone();
        let on = move |node: &Node| running_on(&running, node);
        let mirrors = Self {
            versions: mirror(
                &mut tasks,
                scope.every(),
                scope.config(),
                told,
                only_version,
                (users, never),
            ),
            redis,
            pods,
            stateful_sets: owned(&mut tasks, scope, told, never),
            config_maps: owned(&mut tasks, scope, told, never),
            secrets: owned(&mut tasks, scope, told, never),
            services: owned(&mut tasks, scope, told, never),
            disruption_budgets: owned(&mut tasks, scope, told, never),
            slices: owned(&mut tasks, scope, told, going),
            nodes: mirror(
                &mut tasks,
                scope.cluster(),
                scope.config(),
                told,
                trim_node,
                (on, cordoned),
            ),
            freshness,
        };
        (mirrors, tasks)
    }

    /// Waits until every copy is complete.
    pub async fn ready(&self) {
        let Self {
            redis,
            versions,
            pods,
            stateful_sets,
            config_maps,
            secrets,
            services,
            disruption_budgets,
            slices,
            nodes,
            freshness: _,
        } = self;
        // an error says that the watching task is gone; the owner of the tasks sees that too
        let _ = tokio::join!(
            redis.wait_until_ready(),
            versions.wait_until_ready(),
            pods.wait_until_ready(),
            stateful_sets.wait_until_ready(),
            config_maps.wait_until_ready(),
            secrets.wait_until_ready(),
            services.wait_until_ready(),
            disruption_budgets.wait_until_ready(),
            slices.wait_until_ready(),
            nodes.wait_until_ready(),
        );
    }

    /// The pods that carry the labels of this resource. Whether they are its own, their owner's uid says.
    pub fn pods_of(&self, namespace: &str, redis: &str) -> Vec<Arc<Pod>> {
        self.pods.state_filter(|pod| {
            pod.metadata.namespace.as_deref() == Some(namespace)
                && pod.labels().get(names::LABEL_REDIS).is_some_and(|value| value == redis)
        })
    }
}

impl Scope {
    fn config(&self) -> watcher::Config {
        // the arguments allow whole seconds only
        watcher::Config::default().timeout(u32::try_from(self.limit.as_secs()).unwrap_or(u32::MAX))
    }

    fn every<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType: Default>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn cluster<K>(&self) -> Api<K>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType: Default>,
    {
        Api::all(self.client.clone())
    }
}

/// Mirrors what the operator made, of one kind.
fn owned<K>(
    tasks: &mut JoinSet<()>,
    scope: &Scope,
    told: (&Triggers, &Freshness),
    urgent: fn(&Event<K>) -> bool,
) -> Store<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let ours = format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY);
    let config = scope.config().labels(&ours);
    mirror(
        tasks,
        scope.every(),
        config,
        told,
        shrink_managed_fields,
        (redis_of, urgent),
    )
}

/// Mirrors one kind: each change of an object wakes the resource that `about` names, after the copy shows the change, and
/// interrupts it if that is urgent.
fn mirror<K, I>(
    tasks: &mut JoinSet<()>,
    api: Api<K>,
    config: watcher::Config,
    (triggers, freshness): (&Triggers, &Freshness),
    trim: fn(&mut K),
    (about, urgent): (impl Fn(&K) -> I + Send + Sync + 'static, fn(&Event<K>) -> bool),
) -> Store<K>
where
    I: IntoIterator<Item = ObjectRef<Redis>> + 'static,
    K: Resource<DynamicType: Default + Eq + Hash + Clone + Send + Sync>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let events = watcher(api, config).modify(trim).reflect(writer);
    let kept = freshness.keep(&K::kind(&K::DynamicType::default()));
    tasks.spawn(wake_on(
        events,
        store.clone(),
        (triggers.clone(), kept),
        (about, urgent),
    ));
    store
}

/// A list that begins anew replaces the copy as a whole, so whatever was there before may have changed or gone.
async fn wake_on<K, I>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    store: Store<K>,
    (triggers, kept): (Triggers, Kept),
    (about, urgent): (impl Fn(&K) -> I, fn(&Event<K>) -> bool),
) where
    I: IntoIterator<Item = ObjectRef<Redis>>,
    K: Resource<DynamicType: Default + Eq + Hash + Clone> + Clone + 'static,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    let all = || {
        store
            .state()
            .iter()
            .flat_map(|object| about(object))
            .collect::<HashSet<_>>()
    };
    let mut before = HashSet::new();
    let mut attempts = Attempts::new(kept);
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        if let Some(again) = attempts.note(&event, Instant::now()) {
            if let (true, Err(error)) = (again.begins, &event) {
                tracing::warn!(kind, %error, "cannot watch; trying again until it works");
            }
            tokio::time::sleep(again.after).await;
        }
        let wake = match event.as_ref().is_ok_and(urgent) {
            true => Triggers::urge,
            false => Triggers::wake,
        };
        match event {
            Ok(Event::Apply(object) | Event::Delete(object)) => {
                about(&object).into_iter().for_each(|it| wake(&triggers, it))
            }
            Ok(Event::Init) => before = all(),
            Ok(Event::InitDone) => before.drain().chain(all()).for_each(|it| wake(&triggers, it)),
            Ok(Event::InitApply(_)) | Err(_) => {}
        }
    }
}

/// Nothing has to be decided because of it: it is put right.
fn never<K>(_: &Event<K>) -> bool {
    false
}

/// It is going, or gone, or may have gone.
fn going<K: Resource>(event: &Event<K>) -> bool {
    is_lost(event, |object| object.meta().deletion_timestamp.is_some())
}

/// Pods may have to leave it.
fn cordoned(event: &Event<Node>) -> bool {
    is_lost(event, |node| {
        let spec = node.spec.as_ref();
        spec.is_some_and(|spec| spec.unschedulable == Some(true) || spec.taints.iter().flatten().next().is_some())
    })
}

/// The object is gone, or may have gone, or is as `leaving` says.
fn is_lost<K>(event: &Event<K>, leaving: impl Fn(&K) -> bool) -> bool {
    match event {
        Event::Delete(_) | Event::InitDone => true,
        Event::Apply(object) => leaving(object),
        Event::Init | Event::InitApply(_) => false,
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
