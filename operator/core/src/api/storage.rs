//! Persistent storage: the fields of a claim that matter here.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One persistent volume per instance. Fixed at creation, but for what happens to it afterwards.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "self.size == oldSelf.size && self.accessModes == oldSelf.accessModes \
         && has(self.storageClassName) == has(oldSelf.storageClassName) \
         && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName) \
         && has(self.selector) == has(oldSelf.selector) && (!has(self.selector) || self.selector == oldSelf.selector)"
    ).message(
        "storage: only whenDeleted and whenScaled can be changed later, because a StatefulSet's volumes are fixed; to grow them, change the size of the PersistentVolumeClaims themselves"
    )
)]
pub struct Storage {
    /// Size of each instance's volume, for example `10Gi`.
    #[x_kube(validation = Rule::new(
        "type(self) == string ? isQuantity(self) && quantity(self).isGreaterThan(quantity('0')) : self > 0"
    ).message("storage.size must be a quantity above 0, such as 10Gi"))]
    pub size: Quantity,

    /// Storage class; absent means the cluster's default one.
    pub storage_class_name: Option<String>,

    /// How the volume may be mounted.
    #[serde(default = "access_modes")]
    pub access_modes: Vec<String>,

    /// Only volumes with these labels are taken.
    pub selector: Option<LabelSelector>,

    /// What happens to the volumes when the resource is deleted: Retain (default) or Delete.
    #[serde(default)]
    pub when_deleted: Reclaim,

    /// What happens to the volume of an instance that is scaled away: Retain (default) or Delete.
    #[serde(default)]
    pub when_scaled: Reclaim,
}

/// What happens to a volume that is not needed any more.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Reclaim {
    /// It stays, with its data.
    #[default]
    Retain,
    /// It goes, with its data.
    Delete,
}

fn access_modes() -> Vec<String> {
    vec!["ReadWriteOnce".to_owned()]
}

impl Reclaim {
    /// The word that a StatefulSet uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Reclaim::Retain => "Retain",
            Reclaim::Delete => "Delete",
        }
    }
}

impl Storage {
    /// A volume of this size with every default.
    pub fn new(size: impl Into<String>) -> Self {
        Self {
            size: Quantity(size.into()),
            storage_class_name: None,
            access_modes: access_modes(),
            selector: None,
            when_deleted: Reclaim::default(),
            when_scaled: Reclaim::default(),
        }
    }
}
