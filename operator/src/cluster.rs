//! One resource on the API server: its record, its master's slice, its pods. Every write carries a precondition.
//!
//! What was last written or read is held. A cache that shows something else is either behind, which its resource
//! version tells, or ahead: then the object is read again, with a quorum.

mod patch;

use crate::error::{Error, within};
use crate::execute::{Api as ApiTrait, Done, Failure};
use crate::newer;
use crate::slice;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use patch::patch;
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use redis_operator_core::observed::Slice;
use redis_operator_core::plan::Label;
use redis_operator_core::record::{Found, Process, Record};
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One resource on the API server, under one lease.
pub struct Cluster {
    redis: Api<Redis>,
    slices: Api<EndpointSlice>,
    pods: Api<Pod>,
    name: String,
    uid: String,
    holder: String,
    limit: Duration,
    held: Mutex<Held>,
}

/// What was written or read last; `None` means that it has to be read.
#[derive(Default)]
struct Held {
    record: Option<Known<Option<Value>>>,
    has_status: bool,
    slice: Option<Known<Option<EndpointSlice>>>,
    /// Nobody answered to the last write of the slice: it may still arrive.
    slice_in_doubt: bool,
    metrics_port: bool,
    redis_version: Option<String>,
    slice_version: Option<String>,
}

/// A value, and the version that the cache showed when it was learnt: as long as it shows that one, it is behind.
#[derive(Clone)]
struct Known<T> {
    value: T,
    behind: Option<String>,
}

impl Cluster {
    /// One resource, before anything is known of it.
    pub fn new(client: Client, redis: &Redis, holder: &str, limit: Duration) -> Self {
        let namespace = redis.namespace().unwrap_or_default();
        Self {
            redis: Api::namespaced(client.clone(), &namespace),
            slices: Api::namespaced(client.clone(), &namespace),
            pods: Api::namespaced(client, &namespace),
            name: redis.name_any(),
            uid: redis.uid().unwrap_or_default(),
            holder: holder.to_owned(),
            limit,
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record as this holder wrote it last, or read with a quorum; never an older one from a cache.
    ///
    /// # Errors
    /// The read failed, or found another resource of that name.
    pub async fn record(&self, cached: &Redis) -> Result<Found, Error> {
        let known = {
            let mut held = self.held();
            held.metrics_port = cached.spec.exporter.is_some();
            held.redis_version = cached.resource_version();
            let shown = cached.status.as_ref().and_then(|status| status.record.clone());
            let trusted =
                |known: &Known<Option<Value>>| known.value == shown || known.behind == cached.resource_version();
            held.record.clone().filter(trusted)
        };
        match known {
            Some(known) => Ok(Found::read(known.value.as_ref())),
            None => self.reread().await,
        }
    }

    /// Reads the record with a quorum.
    ///
    /// # Errors
    /// The read failed, or found another resource of that name.
    pub async fn reread(&self) -> Result<Found, Error> {
        let redis = within(
            self.limit,
            format!("read Redis {}", self.name),
            self.redis.get(&self.name),
        )
        .await?;
        if redis.uid().as_deref() != Some(&self.uid) {
            return Err(Error::Unexpected(format!(
                "Redis {} was deleted and created again",
                self.name
            )));
        }
        let mut held = self.held();
        held.has_status = redis.status.is_some();
        let value = redis.status.and_then(|status| status.record);
        let found = Found::read(value.as_ref());
        held.record = Some(Known {
            value,
            behind: held.redis_version.clone(),
        });
        Ok(found)
    }

    /// The master's slice as this holder wrote or read it last.
    ///
    /// # Errors
    /// The read failed.
    pub async fn slice(&self, cached: Option<&EndpointSlice>) -> Result<Option<Slice>, Error> {
        let shown = cached.and_then(ResourceExt::resource_version);
        let known = {
            let mut held = self.held();
            held.slice_version.clone_from(&shown);
            let version =
                |known: &Known<Option<EndpointSlice>>| known.value.as_ref().and_then(ResourceExt::resource_version);
            // The cache has caught up: from now on nothing that it shows is behind, its absence least of all.
            if let Some(known) = held.slice.as_mut().filter(|known| version(known) == shown) {
                known.behind.clone_from(&shown);
            }
            // one that the cache has never shown may be gone before it does
            let is_new = |known: &Known<Option<EndpointSlice>>| shown.is_none() && known.value.is_some();
            held.slice
                .clone()
                .filter(|known| known.behind == shown && !is_new(known))
        };
        if let Some(known) = known {
            return Ok(self.observed(known.value.as_ref()));
        }
        let name = names::master_service(&self.name);
        let slice = within(
            self.limit,
            format!("read EndpointSlice {name}"),
            self.slices.get_opt(&name),
        )
        .await?;
        let observed = self.observed(slice.as_ref());
        self.held().slice = Some(Known {
            value: slice,
            behind: shown,
        });
        Ok(observed)
    }

    fn observed(&self, slice: Option<&EndpointSlice>) -> Option<Slice> {
        Some(Slice {
            in_doubt: self.held().slice_in_doubt,
            ..slice::observed(slice?)
        })
    }

    /// Forgets what is held: the next pass reads it again. After any write whose outcome is unknown.
    pub fn forget(&self) {
        let mut held = self.held();
        (held.record, held.slice) = (None, None);
    }

    fn term(&self) -> u64 {
        let held = self.held();
        let record = held.record.as_ref().and_then(|known| known.value.as_ref());
        record
            .and_then(|record| record.get("term"))
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    fn outcome<T>(&self, what: &'static str, result: Result<T, Error>) -> Result<T, Failure> {
        result.map_err(|error| {
            self.forget();
            if error.is_conflict() || error.is_absent() {
                Failure::Conflict(what)
            } else {
                Failure::Api(error)
            }
        })
    }

    fn slice_outcome<T>(&self, result: Result<T, Error>) -> Result<T, Failure> {
        if result.as_ref().is_err_and(Error::is_open) {
            self.held().slice_in_doubt = true;
        }
        self.outcome("the slice", result)
    }

    /// Writes the slice: in place if it is known, else as a new one. One address family per slice, for ever; a change
    /// of family is a new object.
    async fn put_slice(&self, mut wanted: EndpointSlice) -> Done {
        let known = self.held().slice.clone().and_then(|known| known.value);
        let mine = wanted.annotations().clone();
        let what = format!("write EndpointSlice {}", wanted.name_any());
        let name = wanted.name_any();
        let result = match known {
            Some(known) if known.address_type == wanted.address_type => {
                slice::keep_foreign(&mut wanted, &known);
                wanted.metadata.resource_version = known.resource_version();
                within(
                    self.limit,
                    what,
                    self.slices.replace(&name, &PostParams::default(), &wanted),
                )
                .await
            }
            Some(known) => {
                let params = only_if(known.uid(), known.resource_version());
                let gone = within(self.limit, what.clone(), self.slices.delete(&name, &params)).await;
                self.slice_outcome(gone)?;
                within(self.limit, what, self.slices.create(&PostParams::default(), &wanted)).await
            }
            None => within(self.limit, what, self.slices.create(&PostParams::default(), &wanted)).await,
        };
        let mut slice = self.slice_outcome(result)?;
        // written by this holder, also where a webhook takes that away from it
        slice.annotations_mut().extend(mine);
        let mut held = self.held();
        held.slice_in_doubt = false;
        let behind = held.slice_version.clone();
        held.slice = Some(Known {
            value: Some(slice),
            behind,
        });
        Ok(())
    }

    fn draft(&self) -> slice::Draft<'_> {
        let metrics_port = self.held().metrics_port;
        slice::Draft {
            redis: &self.name,
            redis_uid: &self.uid,
            holder: &self.holder,
            term: self.term(),
            metrics_port,
        }
    }
}

impl ApiTrait for Cluster {
    async fn write_record(&self, record: &Record) -> Done {
        let mut value = serde_json::to_value(record).map_err(|error| Error::Unexpected(error.to_string()))?;
        let (has_status, before) = {
            let held = self.held();
            (
                held.has_status,
                held.record.as_ref().and_then(|known| known.value.clone()),
            )
        };
        if let Some(before) = &before {
            newer::keep(before, &mut value);
        }
        let patch = patch(&self.uid, has_status, before.as_ref(), &value);
        let patch: json_patch::Patch =
            serde_json::from_value(Value::Array(patch)).map_err(|error| Error::Unexpected(error.to_string()))?;
        let params = PatchParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Json::<()>(patch);
        let call = self.redis.patch_status(&self.name, &params, &patch);
        let what = format!("write the record of Redis {}", self.name);
        let written = within(self.limit, what, call).await;
        self.outcome("the record", written)?;
        let mut held = self.held();
        held.has_status = true;
        let behind = held.redis_version.clone();
        held.record = Some(Known {
            value: Some(value),
            behind,
        });
        Ok(())
    }

    async fn touch_slice(&self) -> Done {
        let known = self.held().slice.clone().and_then(|known| known.value);
        let wanted = self.draft().touched(known);
        self.put_slice(wanted).await
    }

    async fn publish(&self, master: &Process) -> Done {
        let wanted = self.draft().published(master).map_err(Error::Unexpected)?;
        self.put_slice(wanted).await
    }

    async fn label(&self, pod: &str, uid: &str, resource_version: &str, label: Label) -> Done {
        let role = match label {
            Label::Master => Some(names::ROLE_MASTER),
            Label::Replica => Some(names::ROLE_REPLICA),
            Label::None => None,
        };
        // Both are preconditions: another pod of that name is a conflict, and so is one that changed since it was observed.
        let mut labels = serde_json::Map::new();
        labels.insert(names::LABEL_ROLE.to_owned(), json!(role));
        let patch =
            Patch::Merge(json!({"metadata": {"uid": uid, "resourceVersion": resource_version, "labels": labels}}));
        let params = PatchParams::default();
        let call = self.pods.patch_metadata(pod, &params, &patch);
        let result = within(self.limit, format!("label pod {pod}"), call).await;
        result.map(|_| ()).map_err(|error| lost("the pod", error))
    }

    async fn delete_pod(&self, pod: &str, uid: &str, resource_version: &str) -> Done {
        let params = only_if(Some(uid.to_owned()), Some(resource_version.to_owned()));
        let result = within(self.limit, format!("delete pod {pod}"), self.pods.delete(pod, &params)).await;
        result.map(|_| ()).map_err(|error| lost("the pod", error))
    }
}

fn lost(what: &'static str, error: Error) -> Failure {
    if error.is_conflict() || error.is_absent() {
        Failure::Stale(what)
    } else {
        Failure::Api(error)
    }
}

fn only_if(uid: Option<String>, resource_version: Option<String>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version }),
        ..DeleteParams::default()
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
