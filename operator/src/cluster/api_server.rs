//! The store that users have: an API server.

use super::patch::patch;
use super::store::{Shown, Store};
use crate::error::{Error, within};
use crate::newer;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use redis_operator_core::plan::Label;
use redis_operator_core::record::{Found, Record};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// An API server, with a deadline for each call.
pub struct ApiServer {
    redis: Api<Redis>,
    slices: Api<EndpointSlice>,
    pods: Api<Pod>,
    name: String,
    uid: String,
    limit: Duration,
    /// Without one there is nothing to add the record to.
    has_status: AtomicBool,
}

impl ApiServer {
    pub(super) fn new(client: Client, redis: &Redis, limit: Duration) -> Self {
        let namespace = redis.namespace().unwrap_or_default();
        Self {
            redis: Api::namespaced(client.clone(), &namespace),
            slices: Api::namespaced(client.clone(), &namespace),
            pods: Api::namespaced(client, &namespace),
            name: redis.name_any(),
            uid: redis.uid().unwrap_or_default(),
            limit,
            has_status: AtomicBool::new(false),
        }
    }

    /// Both are preconditions: another pod of that name is a conflict, and so is one that changed since it was observed.
    async fn patch_pod(&self, pod: &str, uid: &str, version: &str, field: &str, change: Value) -> Result<(), Error> {
        let patch = Patch::Merge(json!({"metadata": {"uid": uid, "resourceVersion": version, field: change}}));
        let params = PatchParams::default();
        let call = self.pods.patch_metadata(pod, &params, &patch);
        let what = format!("change {field} of pod {pod}");
        within(self.limit, what, call).await.map(drop)
    }
}

impl Store for ApiServer {
    type Redis = Redis;
    type Record = Value;

    fn shown(cached: &Redis) -> Shown<Value> {
        Shown {
            version: cached.resource_version(),
            record: cached.status.as_ref().and_then(|status| status.record.clone()),
            metrics_port: cached.spec.exporter.is_some(),
        }
    }

    fn found(record: Option<&Value>) -> Found {
        Found::read(record)
    }

    fn term(record: &Value) -> u64 {
        record.get("term").and_then(Value::as_u64).unwrap_or_default()
    }

    async fn read_record(&self) -> Result<Option<Value>, Error> {
        let what = format!("read Redis {}", self.name);
        let redis = within(self.limit, what, self.redis.get(&self.name)).await?;
        if redis.uid().as_deref() != Some(&self.uid) {
            return Err(Error::Unexpected(format!(
                "Redis {} was deleted and created again",
                self.name
            )));
        }
        self.has_status.store(redis.status.is_some(), Ordering::Relaxed);
        Ok(redis.status.and_then(|status| status.record))
    }

    async fn write_record(&self, before: Option<&Value>, next: &Record) -> Result<Value, Error> {
        let mut value = serde_json::to_value(next).map_err(|error| Error::Unexpected(error.to_string()))?;
        if let Some(before) = before {
            newer::keep(before, &mut value);
        }
        let patch = patch(&self.uid, self.has_status.load(Ordering::Relaxed), before, &value);
        let patch: json_patch::Patch =
            serde_json::from_value(Value::Array(patch)).map_err(|error| Error::Unexpected(error.to_string()))?;
        let params = PatchParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Json::<()>(patch);
        let call = self.redis.patch_status(&self.name, &params, &patch);
        within(self.limit, format!("write the record of Redis {}", self.name), call).await?;
        self.has_status.store(true, Ordering::Relaxed);
        Ok(value)
    }

    async fn read_slice(&self) -> Result<Option<Arc<EndpointSlice>>, Error> {
        let name = names::master_service(&self.name);
        let call = self.slices.get_opt(&name);
        let slice = within(self.limit, format!("read EndpointSlice {name}"), call).await?;
        Ok(slice.map(Arc::new))
    }

    /// One address family per slice, for ever; a change of family is a new object.
    async fn write_slice(
        &self,
        known: Option<&EndpointSlice>,
        wanted: EndpointSlice,
    ) -> Result<Arc<EndpointSlice>, Error> {
        let name = wanted.name_any();
        let what = format!("write EndpointSlice {name}");
        let params = PostParams::default();
        let written = match known {
            Some(known) if known.address_type == wanted.address_type => {
                within(self.limit, what, self.slices.replace(&name, &params, &wanted)).await
            }
            Some(known) => {
                let only = only_if(known.uid(), known.resource_version());
                within(self.limit, what.clone(), self.slices.delete(&name, &only)).await?;
                within(self.limit, what, self.slices.create(&params, &wanted)).await
            }
            None => within(self.limit, what, self.slices.create(&params, &wanted)).await,
        };
        let mut slice = written?;
        // written by this holder, also where a webhook takes that away from it
        let mut own = wanted.metadata.annotations.unwrap_or_default();
        own.retain(|name, _| [names::ANNOTATION_HOLDER, names::ANNOTATION_TERM].contains(&name.as_str()));
        slice.annotations_mut().extend(own);
        Ok(Arc::new(slice))
    }

    async fn label_pod(&self, pod: &str, uid: &str, version: &str, label: Label) -> Result<(), Error> {
        let role = match label {
            Label::Master => Some(names::ROLE_MASTER),
            Label::Replica => Some(names::ROLE_REPLICA),
            Label::None => None,
        };
        let labels = json!({ names::LABEL_ROLE: role });
        self.patch_pod(pod, uid, version, "labels", labels).await
    }

    /// Says from which version it was written, which it never said before: so there is something to write.
    async fn touch_pod(&self, pod: &str, uid: &str, version: &str) -> Result<(), Error> {
        let annotations = json!({ names::ANNOTATION_TOUCHED: version });
        self.patch_pod(pod, uid, version, "annotations", annotations).await
    }

    async fn delete_pod(&self, pod: &str, uid: &str, version: &str) -> Result<(), Error> {
        let only = only_if(Some(uid.to_owned()), Some(version.to_owned()));
        let call = self.pods.delete(pod, &only);
        within(self.limit, format!("delete pod {pod}"), call).await.map(drop)
    }
}

fn only_if(uid: Option<String>, resource_version: Option<String>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version }),
        ..DeleteParams::default()
    }
}
