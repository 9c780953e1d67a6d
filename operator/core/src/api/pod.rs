//! Init containers and volumes: picked fields, because the schema of a whole pod is larger than what `kubectl apply`
//! can carry.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, EnvVar, PersistentVolumeClaimVolumeSource, ResourceRequirements,
    SecretVolumeSource, VolumeMount,
};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{ImagePullPolicy, rules};

/// A container that runs to its end before redis starts.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(self.name in ['redis', 'exporter'])").message(
    "initContainers: the names redis and exporter belong to the operator: choose another one"
))]
pub struct InitContainer {
    /// Name, unique in the pod.
    pub name: String,
    /// Image.
    #[x_kube(validation = rules::image())]
    pub image: String,
    /// Always, IfNotPresent or Never; if absent, Kubernetes decides by the image's tag.
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Replaces the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// CPU and memory.
    pub resources: Option<ResourceRequirements>,
    /// Mounts: `data` is the instance's data directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
}

/// A volume of the pods. Exactly one source.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(self.name in ['data', 'config', 'auth'])").message(
        "volumes: the names data, config and auth belong to the operator: choose another one"
    ),
    validation = Rule::new(
        "[has(self.configMap), has(self.secret), has(self.emptyDir), has(self.persistentVolumeClaim)].filter(given, given).size() == 1"
    ).message("volumes: each needs exactly one of configMap, secret, emptyDir and persistentVolumeClaim")
)]
pub struct Volume {
    /// Name, unique in the pod.
    pub name: String,
    /// Files from a ConfigMap.
    pub config_map: Option<ConfigMapVolumeSource>,
    /// Files from a Secret.
    pub secret: Option<SecretVolumeSource>,
    /// An empty directory that lives as long as the pod.
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// A claim that exists already.
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
}
