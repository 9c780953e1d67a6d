//! The custom resource: what a user writes (`spec`) and what the operator answers (`status`).
//!
//! Everything a schema can say is said here, so that `kubectl apply` answers a mistake at once and in a sentence.
//! What only the core can check (for instance the quotes of a configuration value) is checked again by
//! [`crate::resources`], because a resource may also have been written past the schema.

#![allow(
    unreachable_pub,
    reason = "KubeSchema copies each struct, with its `pub`, into a function"
)]

mod defaults;
mod duration;
mod pod;
mod priority;
mod rules;
mod status;
mod storage;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, PodSecurityContext, ResourceRequirements, SecurityContext, Toleration,
    TopologySpreadConstraint,
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use defaults::{pod_security_context, security_context};
pub use pod::{InitContainer, Volume};
pub use priority::{DEFAULT_PRIORITY, MAX_PRIORITY, Priority, priority};
pub use status::{Answer, Instance, MasterChange, RedisStatus};
pub use storage::{Reclaim, Storage};

/// The largest number of instances of one resource: every replica is fed by the one master.
pub const MAX_REPLICAS: i32 = 20;

/// What a user asks for: one master and its replicas.
///
/// `replicas` counts all data pods, the master included. One is allowed and has no failover.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "redis-operator.dev",
    version = "v1alpha1",
    kind = "Redis",
    plural = "redis",
    singular = "redis",
    shortname = "rd",
    namespaced,
    status = "RedisStatus",
    derive = "PartialEq",
    doc = "A Redis or Valkey master with its replicas, watched and replaced by redis-operator.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Master", type_ = "string", json_path = ".status.master", description = "pod of the master"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.ready", description = "ready of wanted pods"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas", description = "wanted pods"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.summary", description = "what goes on"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 45").message(
        "metadata.name is too long: at most 45 characters, because Kubernetes limits the names made from it"
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message(
        "metadata.name may contain only lower-case letters, digits and '-', and must start and end with a letter or digit, because Services and pods are named after it"
    ),
    validation = Rule::new("!self.metadata.name.matches('-(master|replica|headless)$')").message(
        "metadata.name must not end in -master, -replica or -headless: it would collide with the Services of another Redis; choose another name"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.storage) == has(oldSelf.storage)").message(
    "storage cannot be added or removed later, because a StatefulSet's volumes are fixed: create another Redis and copy the data"
))]
pub struct RedisSpec {
    /// Number of data pods, the master included. With 1 there is no failover.
    #[serde(default = "defaults::replicas")]
    #[x_kube(validation = rules::replicas())]
    pub replicas: i32,

    /// Container image with Redis 7.0 or later or Valkey, for example `docker.io/library/redis:7.0`. It has `redis-server`
    /// (Valkey's own have it under that name too), `redis-cli` or `valkey-cli`, `sh`, `timeout`, `date` and `sleep`.
    #[x_kube(validation = rules::image())]
    pub image: String,

    /// Always, IfNotPresent or Never; if absent, Kubernetes decides by the image's tag.
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Secrets with credentials for the image's registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// CPU and memory of the `redis` container.
    pub resources: Option<ResourceRequirements>,

    /// Directives for redis.conf, name to value, for example `maxmemory: 1gb`. Those that the operator owns are
    /// refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::config")]
    pub config: BTreeMap<String, String>,

    /// How long a master may be silent before the operator suspects it, for example `500ms`, `2s` or `1m`. Less notices
    /// a hang sooner, and takes more stalls for one; the replicas must have heard nothing for 1.5 s in any case. More waits longer.
    #[serde(default = "defaults::down_after")]
    #[x_kube(validation = Rule::new(
        "self.matches('^[0-9]{1,6}(ms|s|m)$') && duration(self) >= duration('500ms') && duration(self) <= duration('10m')"
    ).message("downAfter must be a duration from 500ms to 10m, such as 500ms, 2s or 1m"))]
    pub down_after: String,

    /// Availability (default) promotes the best reachable replica when the master has ended, even if others that may
    /// have more are unreachable. Durability waits until no write that WAIT acknowledged can be missing.
    #[serde(default)]
    pub policy: Policy,

    /// Password of the applications (the `default` user). Without it they need none.
    pub password: Option<Password>,

    /// Restricted (default) keeps commands from the applications with which a client could pass for a replica,
    /// change the replication, the settings, the users or the code of a server, or stop it. All gives them every command,
    /// and with it the power to make a write look replicated that is not, and to take the whole resource down: the
    /// promises about writes no longer hold against such a client.
    #[serde(default)]
    pub application_commands: ApplicationCommands,

    /// Keeps data on persistent volumes. Without it data lives as long as its pod does.
    pub storage: Option<Storage>,

    /// Runs redis_exporter beside every instance and offers its port 9121 in the Services.
    pub exporter: Option<Exporter>,

    /// Which instances should rather be master. The first entry that fits a pod gives its `replica-priority`: lower is
    /// preferred, 0 is never master, and pods that none fits have 100. Data come first: among replicas that have the same, the
    /// preferred one is promoted, and after a minute in sync a preferred one takes over from the master.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub priorities: Vec<Priority>,

    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// Affinity of the pods.
    pub affinity: Option<Affinity>,

    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,

    /// How pods spread; absent means over nodes (`kubernetes.io/hostname`) as far as possible. A constraint without
    /// a labelSelector counts the pods of this resource. An empty list switches spreading off.
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,

    /// Priority class of the pods.
    pub priority_class_name: Option<String>,

    /// Service account of the pods; absent means the namespace's default one, without a token in the pods.
    pub service_account_name: Option<String>,

    /// More labels for the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::pod_labels")]
    pub pod_labels: BTreeMap<String, String>,

    /// More annotations for the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_annotations: BTreeMap<String, String>,

    /// Security context of the pods. Giving it replaces the hardened default as a whole.
    #[serde(default = "defaults::pod_security_context")]
    pub pod_security_context: PodSecurityContext,

    /// Security context of every container. Giving it replaces the hardened default as a whole.
    #[serde(default = "defaults::security_context")]
    pub security_context: SecurityContext,

    /// Seconds that a pod gets to stop.
    #[serde(default = "defaults::termination_grace_period_seconds")]
    #[x_kube(validation = Rule::new("self >= 15 && self <= 3600").message(
        "terminationGracePeriodSeconds must be from 15 to 3600: before a master stops, up to 10 s are kept for handing over to a replica"
    ))]
    pub termination_grace_period_seconds: i64,

    /// Containers that run before redis in each pod; they may mount `data` and the volumes below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub init_containers: Vec<InitContainer>,

    /// More volumes, for the init containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub volumes: Vec<Volume>,
}

/// When the kubelet fetches an image; if absent, Kubernetes decides by the image's tag.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// When the node lacks it.
    IfNotPresent,
    /// Never; the node has to have it.
    Never,
}

impl ImagePullPolicy {
    /// The word that a container uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// What goes first when not everybody can be asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Policy {
    /// A master that has ended is replaced by the best reachable replica.
    #[default]
    Availability,
    /// A master is replaced only when no write that WAIT acknowledged can be missing.
    Durability,
}

/// Which commands the applications' user may run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum ApplicationCommands {
    /// Everything that client libraries use; not what changes or imitates replication.
    #[default]
    Restricted,
    /// Everything.
    All,
}

/// Where the applications' password is.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Password {
    /// Secret of the same namespace, and the key in it, whose value is the password.
    pub secret_key_ref: SecretKeyRef,
}

/// One value of a Secret of the same namespace.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[x_kube(validation = Rule::new("size(self) > 0").message("name must name a Secret of this namespace"))]
    pub name: String,
    /// Key in the Secret.
    #[x_kube(validation = Rule::new("size(self) > 0").message("key must name a key of the Secret"))]
    pub key: String,
}

/// The metrics sidecar.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Exporter {
    /// Image with redis_exporter, for example `docker.io/oliver006/redis_exporter:v1.74.0`.
    #[x_kube(validation = rules::image())]
    pub image: String,
    /// CPU and memory of the sidecar.
    pub resources: Option<ResourceRequirements>,
}

impl RedisSpec {
    /// A spec with this image and every default.
    pub fn new(image: impl Into<String>) -> Self {
        Self {
            replicas: defaults::replicas(),
            image: image.into(),
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            resources: None,
            config: BTreeMap::new(),
            down_after: defaults::down_after(),
            policy: Policy::default(),
            password: None,
            application_commands: ApplicationCommands::default(),
            storage: None,
            exporter: None,
            priorities: Vec::new(),
            node_selector: BTreeMap::new(),
            affinity: None,
            tolerations: Vec::new(),
            topology_spread_constraints: None,
            priority_class_name: None,
            service_account_name: None,
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
            pod_security_context: defaults::pod_security_context(),
            security_context: defaults::security_context(),
            termination_grace_period_seconds: defaults::termination_grace_period_seconds(),
            init_containers: Vec::new(),
            volumes: Vec::new(),
        }
    }

    /// `downAfter` as a duration. Total: what a schema would have refused counts as the default, and nothing is
    /// shorter than 500 ms.
    pub fn down_after(&self) -> Duration {
        duration::parse(&self.down_after)
            .unwrap_or(duration::DEFAULT_DOWN_AFTER)
            .max(duration::MIN_DOWN_AFTER)
    }
}
