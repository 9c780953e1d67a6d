//! Local copies of everything that a pass reads, kept current by watches from the start of the process on: a standby
//! that takes over has them already, and nothing polls the API server.

use crate::attempts::Attempts;
use crate::freshness::{Freshness, Kept};
use crate::trigger::Triggers;
use futures::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, NodeSpec, NodeStatus, NodeSystemInfo, Pod, Secret, Service};
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
        let redis: Store<Guarded> = mirror(
            &mut tasks,
            scope.every(),
            scope.config(),
            (triggers, &freshness),
            shrink_managed_fields,
            (itself, never),
        );
        let all = redis.clone();
        let users = move |secret: &PartialObjectMeta<Secret>| users_of(&all, secret);
        let pods: Store<Pod> = owned(&mut tasks, scope, (triggers, &freshness), going);
        let running = pods.clone();
        let on = move |node: &Node| running_on(&running, node);
        let mirrors = Self {
            versions: mirror(
                &mut tasks,
                scope.every(),
                scope.config(),
                (triggers, &freshness),
                only_version,
                (users, never),
            ),
            redis,
            pods,
            stateful_sets: owned(&mut tasks, scope, (triggers, &freshness), never),
            config_maps: owned(&mut tasks, scope, (triggers, &freshness), never),
            secrets: owned(&mut tasks, scope, (triggers, &freshness), never),
            services: owned(&mut tasks, scope, (triggers, &freshness), never),
            disruption_budgets: owned(&mut tasks, scope, (triggers, &freshness), never),
            slices: owned(&mut tasks, scope, (triggers, &freshness), going),
            nodes: mirror(
                &mut tasks,
                scope.cluster(),
                scope.config(),
                (triggers, &freshness),
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
    let mut attempts = Attempts::new(kept.outage());
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let now = Instant::now();
        match &event {
            Ok(Event::Init | Event::InitApply(_)) => {}
            Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => kept.works(),
            Err(_) => kept.failed(now),
        }
        if let Some(again) = attempts.note(&event, now) {
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
    match event {
        Event::Delete(_) | Event::InitDone => true,
        Event::Apply(object) => object.meta().deletion_timestamp.is_some(),
        Event::Init | Event::InitApply(_) => false,
    }
}

/// Pods may have to leave it.
fn cordoned(event: &Event<Node>) -> bool {
    let repels = |node: &Node| {
        let spec = node.spec.as_ref();
        spec.is_some_and(|spec| spec.unschedulable == Some(true) || spec.taints.iter().flatten().next().is_some())
    };
    match event {
        Event::Delete(_) | Event::InitDone => true,
        Event::Apply(node) => repels(node),
        Event::Init | Event::InitApply(_) => false,
    }
}

/// The resource that an object belongs to: by its owner, else by its label (pods and slices have other owners).
pub fn redis_of<K: Resource>(object: &K) -> Option<ObjectRef<Redis>> {
    let owner = object
        .owner_references()
        .iter()
        .find(|owner| owner.kind == Redis::kind(&()) && owner.api_version == Redis::api_version(&()));
    let name = match owner {
        Some(owner) => &owner.name,
        None => object.labels().get(names::LABEL_INSTANCE)?,
    };
    Some(ObjectRef::new(name).within(object.meta().namespace.as_deref()?))
}

fn itself(redis: &Guarded) -> Option<ObjectRef<Redis>> {
    let meta = redis.meta();
    Some(ObjectRef::new(meta.name.as_deref()?).within(meta.namespace.as_deref()?))
}

/// The resources whose applications' password this Secret holds.
fn users_of(all: &Store<Guarded>, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<Redis>> {
    let named = |redis: &Redis| {
        let password = redis.spec.password.as_ref();
        redis.metadata.namespace == secret.metadata.namespace
            && password.is_some_and(|it| Some(&it.secret_key_ref.name) == secret.metadata.name.as_ref())
    };
    let redises = all.state_filter(|redis| redis.0.as_ref().is_ok_and(named));
    redises
        .iter()
        .filter_map(|redis| redis.0.as_ref().ok())
        .map(ObjectRef::from_obj)
        .collect()
}

/// The resources with pods on this node: it may have been cordoned.
fn running_on(pods: &Store<Pod>, node: &Node) -> Vec<ObjectRef<Redis>> {
    let on = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == node.metadata.name.as_ref();
    let pods = pods.state_filter(|pod| on(pod));
    pods.iter().filter_map(|pod| redis_of(pod.as_ref())).collect()
}

/// Of the Secrets of a whole cluster nothing is kept but where they are and which version they have.
fn only_version(secret: &mut PartialObjectMeta<Secret>) {
    let meta = std::mem::take(&mut secret.metadata);
    secret.metadata.name = meta.name;
    secret.metadata.namespace = meta.namespace;
    secret.metadata.uid = meta.uid;
    secret.metadata.resource_version = meta.resource_version;
}

/// Who owns which fields fills half of an object. Kept is who there is, in order, which [`crate::objects`] needs.
fn shrink_managed_fields<K: Resource>(object: &mut K) {
    for entry in object.meta_mut().managed_fields.iter_mut().flatten() {
        entry.fields_v1 = None;
    }
}

/// Nodes are big and change often; four of their fields matter.
fn trim_node(node: &mut Node) {
    node.metadata.managed_fields = None;
    node.metadata.annotations = None;
    node.spec = node.spec.take().map(|spec| NodeSpec {
        taints: spec.taints,
        unschedulable: spec.unschedulable,
        ..NodeSpec::default()
    });
    let boot_id = node
        .status
        .take()
        .and_then(|status| status.node_info)
        .map(|info| info.boot_id);
    node.status = boot_id.map(|boot_id| NodeStatus {
        node_info: Some(NodeSystemInfo {
            boot_id,
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    });
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
