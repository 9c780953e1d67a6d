//! One object, compared first and written only on a difference.
//!
//! A new one is created by POST, for only that cannot hit an object that somebody else has made meanwhile: to a
//! server-side apply the resource version `0` is no precondition (tried with ConfigMaps on Kubernetes 1.34). What exists
//! is applied with the version that was compared.

use super::altered::differences;
use super::{Change, Outcome, Writer};
use crate::error::{Error, within};
use json_patch::jsonptr::PointerBuf;
use json_patch::{Patch as JsonPatch, PatchOperation, ReplaceOperation, TestOperation};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use redis_operator_core::names;
use redis_operator_core::resources::differs;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::sync::Arc;

/// A kind that the operator makes.
pub(super) trait Made: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Wire {}
impl<K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Wire> Made for K {}
pub(super) trait Wire: Clone + Debug + Serialize + DeserializeOwned {}
impl<T: Clone + Debug + Serialize + DeserializeOwned> Wire for T {}

struct Kept<'a, K> {
    writer: &'a Writer<'a>,
    api: Api<K>,
    desired: &'a K,
    name: String,
}

/// Makes one object as desired. `None` if it is so already.
pub(super) async fn keep<K: Made>(writer: &Writer<'_>, live: Option<Arc<K>>, desired: K) -> Option<Change> {
    let name = desired.name_any();
    let kept = Kept {
        writer,
        api: Api::namespaced(writer.client.clone(), &desired.namespace().unwrap_or_default()),
        desired: &desired,
        name: name.clone(),
    };
    let outcome = match live {
        Some(live) => kept.update(&live).await,
        None => kept.create().await.map(Some),
    };
    let outcome = match outcome {
        Ok(outcome) => outcome?,
        Err(error) if error.is_conflict() || error.is_absent() => Outcome::Again,
        Err(error) => Outcome::Failed(error),
    };
    let kind = K::kind(&()).into_owned();
    Some(Change { kind, name, outcome })
}

impl<K: Made> Kept<'_, K> {
    async fn create(&self) -> Result<Outcome, Error> {
        let params = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let created = within(
            self.writer.limit,
            self.what("create"),
            self.api.create(&params, self.desired),
        )
        .await;
        match created {
            Ok(_) => Ok(Outcome::Created),
            Err(error) if error.is_conflict() => self.unseen().await,
            Err(error) => Err(error),
        }
    }

    /// It exists, and yet the mirror did not show it: the mirror is late, or the object lacks the label by which it is
    /// watched, for it is somebody else's or was edited.
    async fn unseen(&self) -> Result<Outcome, Error> {
        let live = within(self.writer.limit, self.what("read"), self.api.get(&self.name)).await?;
        if self.is_foreign(&live) || !is_watched(&live) {
            return Ok(self.update(&live).await?.unwrap_or(Outcome::Again));
        }
        Ok(Outcome::Again)
    }

    /// `None` if there is nothing to do.
    async fn update(&self, live: &K) -> Result<Option<Outcome>, Error> {
        if self.is_foreign(live) {
            return Ok(Some(Outcome::Foreign(controller(live).map(|(owner, _)| owner))));
        }
        let desired = value(self.desired)?;
        let before = value(live)?;
        // on its way out: when it is gone it is made anew
        if live.meta().deletion_timestamp.is_some() || !differs(&desired, &before) {
            return Ok(None);
        }
        let at = differences(&desired, &before);
        let Writer { altered, now, .. } = self.writer;
        if altered.rests(&K::kind(&()), &self.name, &at, *now) {
            return Ok(Some(Outcome::Altered { at, written: false }));
        }
        // on the heap: all kinds are written at once, and by value they would fill a thread's stack
        let written = Box::pin(self.write(live, &desired)).await?;
        let at = differences(&desired, &value(&written)?);
        Ok(Some(match at.is_empty() {
            true => Outcome::Applied,
            false => Outcome::Altered { at, written: true },
        }))
    }

    /// As it came back.
    async fn write(&self, live: &K, desired: &Value) -> Result<K, Error> {
        let mut version = live.resource_version();
        if let Some(patch) = as_applied(live) {
            let patch = Patch::Json::<()>(patch);
            let params = PatchParams::default();
            let call = self.api.patch(&self.name, &params, &patch);
            version = within(self.writer.limit, self.what("take over"), call)
                .await?
                .resource_version();
        }
        let applied = self.apply(version.clone()).await;
        match applied {
            Ok(now) if !differs(desired, &value(&now)?) => Ok(now),
            Ok(now) => self.overwrite(now.resource_version()).await,
            // An apply merges lists by key, and what it merges may be impossible: two ports of one name.
            Err(error) if error.is_refused() => self.overwrite(version).await,
            Err(error) => Err(error),
        }
    }

    async fn apply(&self, version: Option<String>) -> Result<K, Error> {
        let mut desired = self.desired.clone();
        desired.meta_mut().resource_version = version;
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let patch = Patch::Apply(&desired);
        within(
            self.writer.limit,
            self.what("apply"),
            self.api.patch(&self.name, &params, &patch),
        )
        .await
    }

    /// An apply leaves alone what somebody else added. This replaces every list that is desired, and takes away what
    /// cannot be beside what is.
    async fn overwrite(&self, version: Option<String>) -> Result<K, Error> {
        let mut desired = self.desired.clone();
        desired.meta_mut().resource_version = version;
        let desired = exclusive(&K::kind(&()), value(&desired)?);
        let params = PatchParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&desired);
        let call = self.api.patch(&self.name, &params, &patch);
        within(self.writer.limit, self.what("overwrite"), call).await
    }

    fn is_foreign(&self, live: &K) -> bool {
        controller(live).map(|(_, uid)| uid) != controller(self.desired).map(|(_, uid)| uid)
    }

    fn what(&self, verb: &str) -> String {
        let namespace = self.desired.namespace().unwrap_or_default();
        format!("{verb} {} {namespace}/{}", K::kind(&()), self.name)
    }
}

/// Fields that the API server does not take beside ours, by kind, the object that holds them, and name: an edit that puts
/// one of them in the place of ours makes every apply invalid.
const INSTEAD_OF_OURS: [(&str, &str, &str); 4] = [
    // with the same keys in both
    ("ConfigMap", "", "binaryData"),
    // `maxUnavailable` is ours
    ("PodDisruptionBudget", "/spec", "minAvailable"),
    // wants type `LoadBalancer`
    ("Service", "/spec", "loadBalancerSourceRanges"),
    // wants type `RollingUpdate`; to whoever sets that the API server adds it
    ("StatefulSet", "/spec/updateStrategy", "rollingUpdate"),
];

/// A merge patch to what is desired, and to nothing instead of it.
fn exclusive(kind: &str, mut desired: Value) -> Value {
    for (_, within, name) in INSTEAD_OF_OURS.iter().filter(|(of, ..)| *of == kind) {
        if let Some(Value::Object(fields)) = desired.pointer_mut(within) {
            fields.entry(*name).or_insert(Value::Null);
        }
    }
    desired
}

/// The owner that controls an object, as kind and name, and its uid.
fn controller<K: Resource>(object: &K) -> Option<(String, &str)> {
    let owners = object.owner_references();
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some((format!("{} {}", owner.kind, owner.name), &owner.uid))
}

pub(super) fn is_watched<K: Resource>(object: &K) -> bool {
    object
        .labels()
        .get(names::LABEL_MANAGED_BY)
        .is_some_and(|value| value == names::MANAGED_BY)
}

/// What was created counts as "updated" by its creator, and a server-side apply would share the ownership of every field
/// with that entry for ever: a field that is no longer desired would stay. This turns the entry into one of an apply.
fn as_applied<K: Resource>(live: &K) -> Option<JsonPatch> {
    let entries = live.meta().managed_fields.as_deref().unwrap_or_default();
    let index = entries.iter().position(|entry| {
        entry.manager.as_deref() == Some(names::FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Update")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    })?;
    let test = TestOperation {
        path: PointerBuf::from_tokens(["metadata", "resourceVersion"]),
        value: json!(live.meta().resource_version),
    };
    let replace = ReplaceOperation {
        path: PointerBuf::from_tokens(["metadata", "managedFields", &index.to_string(), "operation"]),
        value: json!("Apply"),
    };
    Some(JsonPatch(vec![
        PatchOperation::Test(test),
        PatchOperation::Replace(replace),
    ]))
}

fn value<K: Serialize>(object: &K) -> Result<Value, Error> {
    serde_json::to_value(object).map_err(|error| Error::Unexpected(format!("an object cannot be written: {error}")))
}
