//! One resource on the API server: its record, its master's slice, its pods. Every write carries a precondition.
//!
//! What was last written or read is held, by the same rules over whatever [`Store`]: a simulation has other objects, and
//! the same copies and doubts.

mod api_server;
mod held;
mod patch;
mod store;

pub use api_server::ApiServer;
pub use store::{Shown, Store};

use crate::error::Error;
use crate::execute::{Api, Done, Failure};
use crate::slice;
use held::Held;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Client, ResourceExt};
use redis_operator_core::api::Redis;
use redis_operator_core::observed::Slice;
use redis_operator_core::plan::Label;
use redis_operator_core::record::{Found, Process, Record};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One resource on the API server, under one lease.
pub struct Cluster<S: Store = ApiServer> {
    store: S,
    name: String,
    uid: String,
    holder: String,
    held: Mutex<Held<S::Record>>,
}

impl Cluster {
    /// One resource, before anything is known of it.
    pub fn new(client: Client, redis: &Redis, holder: &str, limit: Duration) -> Self {
        let (name, uid) = (redis.name_any(), redis.uid().unwrap_or_default());
        Self::over(ApiServer::new(client, redis, limit), name, uid, holder)
    }
}

impl<S: Store> Cluster<S> {
    /// The resource of this name and uid in a store, before anything is known of it.
    pub fn over(store: S, name: String, uid: String, holder: &str) -> Self {
        Self {
            store,
            name,
            uid,
            holder: holder.to_owned(),
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held<S::Record>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record as this holder wrote it last, or read with a quorum; never an older one from a cache.
    ///
    /// # Errors
    /// The read failed, or found another resource of that name.
    pub async fn record(&self, cached: &S::Redis) -> Result<Found, Error> {
        let known = self.held().trusted_record(S::shown(cached));
        match known {
            Some(record) => Ok(S::found(record.as_ref())),
            None => self.reread().await,
        }
    }

    /// Reads the record with a quorum.
    ///
    /// # Errors
    /// The read failed, or found another resource of that name.
    pub async fn reread(&self) -> Result<Found, Error> {
        let record = self.store.read_record().await?;
        let found = S::found(record.as_ref());
        self.held().learn_record(record);
        Ok(found)
    }

    /// The master's slice as this holder wrote or read it last.
    ///
    /// # Errors
    /// The read failed.
    pub async fn slice(&self, cached: Option<&EndpointSlice>) -> Result<Option<Slice>, Error> {
        let shown = cached.and_then(ResourceExt::resource_version);
        let known = self.held().trusted_slice(shown.clone());
        let slice = match known {
            Some(slice) => slice,
            None => {
                let slice = self.store.read_slice().await?;
                self.held().learn_slice(slice.clone(), shown);
                slice
            }
        };
        let in_doubt = self.held().slice_in_doubt;
        Ok(slice.map(|slice| Slice {
            in_doubt,
            ..slice::observed(&slice)
        }))
    }

    /// Forgets what is held: the next pass reads it again. After any write whose outcome is unknown.
    pub fn forget(&self) {
        self.held().forget();
    }

    fn failed(&self, what: &'static str, error: Error) -> Failure {
        self.forget();
        if error.is_conflict() || error.is_absent() {
            Failure::Conflict(what)
        } else {
            Failure::Api(error)
        }
    }

    async fn put_slice(&self, mut wanted: EndpointSlice) -> Done {
        let known = self.held().slice();
        if let Some(known) = &known {
            slice::replace(&mut wanted, known);
        }
        match self.store.write_slice(known.as_deref(), wanted).await {
            Ok(slice) => {
                self.held().wrote_slice(slice);
                Ok(())
            }
            Err(error) => {
                self.held().slice_in_doubt |= error.is_open();
                Err(self.failed("the slice", error))
            }
        }
    }

    fn draft(&self) -> slice::Draft<'_> {
        let held = self.held();
        slice::Draft {
            redis: &self.name,
            redis_uid: &self.uid,
            holder: &self.holder,
            term: held.record().map_or(0, S::term),
            metrics_port: held.metrics_port,
        }
    }
}

impl<S: Store> Api for Cluster<S> {
    async fn write_record(&self, record: &Record) -> Done {
        let before = self.held().record().cloned();
        let written = self.store.write_record(before.as_ref(), record).await;
        let written = written.map_err(|error| self.failed("the record", error))?;
        self.held().learn_record(Some(written));
        Ok(())
    }

    async fn touch_slice(&self) -> Done {
        let known = self.held().slice();
        let wanted = self.draft().touched(known.as_deref().cloned());
        self.put_slice(wanted).await
    }

    async fn publish(&self, master: &Process) -> Done {
        let wanted = self.draft().published(master).map_err(Error::Unexpected)?;
        self.put_slice(wanted).await
    }

    async fn label(&self, pod: &str, uid: &str, resource_version: &str, label: Label) -> Done {
        let labelled = self.store.label_pod(pod, uid, resource_version, label).await;
        labelled.map_err(lost_pod)
    }

    /// Once for each record: a touch is news, and would end every pause before a step after it that is refused is tried again.
    async fn touch_pod(&self, pod: &str, uid: &str, resource_version: &str) -> Done {
        let seq = S::found(self.held().record()).record().map_or(0, |record| record.seq);
        if self.held().is_touched(seq, uid) {
            return Ok(());
        }
        let touched = self.store.touch_pod(pod, uid, resource_version).await;
        touched.map_err(lost_pod)?;
        self.held().touched(seq, uid);
        Ok(())
    }

    async fn delete_pod(&self, pod: &str, uid: &str, resource_version: &str) -> Done {
        self.held().deletes(uid);
        let deleted = self.store.delete_pod(pod, uid, resource_version).await;
        deleted.map_err(lost_pod)
    }
}

fn lost_pod(error: Error) -> Failure {
    if error.is_conflict() || error.is_absent() {
        Failure::Stale("the pod")
    } else {
        Failure::Api(error)
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
