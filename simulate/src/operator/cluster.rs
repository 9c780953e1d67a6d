//! The API server as one operator process uses it: what it wrote or read last is held, and every write is conditional.

use super::side::Handle;
use crate::cluster::api::{NAME, Redis, Request, Response};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use redis_operator::error::Error;
use redis_operator::execute::{Api, Done, Failure};
use redis_operator::slice::{self, Draft};
use redis_operator_core::observed::Slice;
use redis_operator_core::plan::Label;
use redis_operator_core::record::{Found, Process, Record};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One resource under one lease.
pub(super) struct Cluster {
    handle: Handle,
    holder: String,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    record: Option<Known<Option<Arc<Record>>>>,
    slice: Option<Known<Option<Arc<EndpointSlice>>>>,
    slice_in_doubt: bool,
    redis_version: u64,
    slice_version: Option<String>,
}

/// A value, and the version that the cache showed when it was learnt: as long as it shows that one, it is behind.
#[derive(Clone)]
struct Known<T, V = Option<String>> {
    value: T,
    behind: V,
    number: u64,
}

fn failed(what: &'static str, response: &Response) -> Failure {
    match response {
        Response::Conflict => Failure::Conflict(what),
        Response::Deadline => Failure::Api(Error::Deadline {
            what: what.to_owned(),
            limit: Duration::from_secs(2),
        }),
        _ => Failure::Api(Error::Unexpected("unreachable".to_owned())),
    }
}

fn error(what: &'static str, response: &Response) -> Error {
    match response {
        Response::Deadline => Error::Deadline {
            what: what.to_owned(),
            limit: Duration::from_secs(2),
        },
        _ => Error::Unexpected("unreachable".to_owned()),
    }
}

fn found(record: Option<&Arc<Record>>) -> Found {
    record.map_or(Found::Absent, |record| Found::Record(Box::new((**record).clone())))
}

impl Cluster {
    pub(super) fn new(handle: Handle, holder: String) -> Self {
        Self {
            handle,
            holder,
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As this holder wrote it last, or read with a quorum.
    pub(super) async fn record(&self, cached: &Redis) -> Result<Found, Error> {
        let known = {
            let mut held = self.held();
            held.redis_version = cached.version;
            let seq = |record: &Option<Arc<Record>>| record.as_ref().map(|record| (record.seq, record.holder.clone()));
            let trusted = |known: &Known<Option<Arc<Record>>>| {
                seq(&known.value) == seq(&cached.record) || known.number == cached.version
            };
            held.record.clone().filter(trusted)
        };
        match known {
            Some(known) => Ok(found(known.value.as_ref())),
            None => self.read().await,
        }
    }

    /// With a quorum.
    pub(super) async fn reread(&self) -> Result<Found, Error> {
        let held = self.held().record.clone();
        if let Some(held) = held.filter(|_| !self.handle.lock().reads_again) {
            return Ok(found(held.value.as_ref()));
        }
        self.read().await
    }

    async fn read(&self) -> Result<Found, Error> {
        match self.handle.api(Request::Record).await {
            Response::Record(record) => {
                let mut held = self.held();
                let number = held.redis_version;
                let said = found(record.as_ref());
                held.record = Some(Known {
                    value: record,
                    behind: None,
                    number,
                });
                Ok(said)
            }
            other => Err(error("read the record", &other)),
        }
    }

    pub(super) async fn slice(&self, cached: Option<&EndpointSlice>) -> Result<Option<Slice>, Error> {
        let shown = cached.and_then(ResourceExt::resource_version);
        let known = {
            let mut held = self.held();
            held.slice_version.clone_from(&shown);
            let version =
                |known: &Known<Option<Arc<EndpointSlice>>>| known.value.as_ref().and_then(|s| s.resource_version());
            if let Some(known) = held.slice.as_mut().filter(|known| version(known) == shown) {
                known.behind.clone_from(&shown);
            }
            let is_new = |known: &Known<Option<Arc<EndpointSlice>>>| shown.is_none() && known.value.is_some();
            held.slice
                .clone()
                .filter(|known| known.behind == shown && !is_new(known))
        };
        if let Some(known) = known {
            return Ok(self.observed(known.value.as_deref()));
        }
        match self.handle.api(Request::Slice).await {
            Response::Slice(slice) => {
                let observed = self.observed(slice.as_deref());
                self.held().slice = Some(Known {
                    value: slice,
                    behind: shown,
                    number: 0,
                });
                Ok(observed)
            }
            other => Err(error("read the slice", &other)),
        }
    }

    fn observed(&self, slice: Option<&EndpointSlice>) -> Option<Slice> {
        Some(Slice {
            in_doubt: self.held().slice_in_doubt,
            ..slice::observed(slice?)
        })
    }

    /// Of these pods, names by uid, those that exist.
    pub(super) async fn existing(&self, pods: &BTreeMap<String, String>) -> Result<Vec<Arc<Pod>>, Error> {
        if pods.is_empty() {
            return Ok(vec![]);
        }
        match self.handle.api(Request::Pods(pods.clone())).await {
            Response::Pods(found) => Ok(found),
            other => Err(error("read pods", &other)),
        }
    }

    fn forget(&self) {
        let mut held = self.held();
        (held.record, held.slice) = (None, None);
    }

    fn term(&self) -> u64 {
        let held = self.held();
        held.record
            .as_ref()
            .and_then(|known| known.value.as_ref())
            .map_or(0, |record| record.term)
    }

    async fn put_slice(&self, mut wanted: EndpointSlice) -> Done {
        let known = self.held().slice.clone().and_then(|known| known.value);
        wanted.metadata.resource_version = None;
        if let Some(known) = known {
            slice::keep_foreign(&mut wanted, &known);
            wanted.metadata.resource_version = known.resource_version();
        }
        match self.handle.api(Request::PutSlice(Box::new(wanted))).await {
            Response::Slice(slice) => {
                let mut held = self.held();
                held.slice_in_doubt = false;
                let behind = held.slice_version.clone();
                held.slice = Some(Known {
                    value: slice,
                    behind,
                    number: 0,
                });
                Ok(())
            }
            other => {
                let doubts = self.handle.lock().doubts;
                self.held().slice_in_doubt |= doubts && !matches!(other, Response::Conflict);
                self.forget();
                Err(failed("the slice", &other))
            }
        }
    }

    fn draft(&self) -> Draft<'_> {
        Draft {
            redis: NAME,
            redis_uid: "redis",
            holder: &self.holder,
            term: self.term(),
            metrics_port: false,
        }
    }
}

fn stale(done: &Response) -> Done {
    match done {
        Response::Done => Ok(()),
        Response::Conflict => Err(Failure::Stale("the pod")),
        other => Err(failed("write a pod", other)),
    }
}

impl Api for Cluster {
    async fn write_record(&self, record: &Record) -> Done {
        let record = Arc::new(record.clone());
        let before = self.held().record.as_ref().and_then(|known| known.value.clone());
        match self.handle.api(Request::WriteRecord(Arc::clone(&record), before)).await {
            Response::Done => {
                let mut held = self.held();
                let number = held.redis_version;
                held.record = Some(Known {
                    value: Some(record),
                    behind: None,
                    number,
                });
                Ok(())
            }
            other => {
                self.forget();
                Err(failed("the record", &other))
            }
        }
    }

    async fn touch_slice(&self) -> Done {
        let known = self.held().slice.clone().and_then(|known| known.value);
        let wanted = self.draft().touched(known.as_deref().cloned());
        self.put_slice(wanted).await
    }

    async fn publish(&self, master: &Process) -> Done {
        let wanted = self
            .draft()
            .published(master)
            .map_err(|what| Failure::Api(Error::Unexpected(what)))?;
        self.put_slice(wanted).await
    }

    async fn label(&self, pod: &str, uid: &str, resource_version: &str, label: Label) -> Done {
        let request = Request::Label(pod.to_owned(), uid.to_owned(), resource_version.to_owned(), label);
        stale(&self.handle.api(request).await)
    }

    async fn delete_pod(&self, pod: &str, uid: &str, resource_version: &str) -> Done {
        let request = Request::DeletePod(pod.to_owned(), uid.to_owned(), resource_version.to_owned());
        stale(&self.handle.api(request).await)
    }
}
