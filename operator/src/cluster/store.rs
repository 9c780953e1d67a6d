//! How the objects of one resource are read and written; nothing is held here.

use crate::error::Error;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use redis_operator_core::plan::Label;
use redis_operator_core::record::{Found, Record};
use std::future::Future;
use std::sync::Arc;

/// The objects of one resource on the API server. Reads are with a quorum, writes have a precondition.
pub trait Store: Send + Sync {
    /// The resource as a cache shows it.
    type Redis: Sync;
    /// A record as it is stored.
    type Record: Clone + PartialEq + Send + Sync;

    /// What a cache shows.
    fn shown(cached: &Self::Redis) -> Shown<Self::Record>;
    /// What a record says.
    fn found(record: Option<&Self::Record>) -> Found;
    /// The term of a record.
    fn term(record: &Self::Record) -> u64;

    /// Reads the record.
    fn read_record(&self) -> impl Future<Output = Result<Option<Self::Record>, Error>> + Send;
    /// Writes a record in place of the one before, if that is still there.
    fn write_record(
        &self,
        before: Option<&Self::Record>,
        next: &Record,
    ) -> impl Future<Output = Result<Self::Record, Error>> + Send;
    /// Reads the master's slice.
    fn read_slice(&self) -> impl Future<Output = Result<Option<Arc<EndpointSlice>>, Error>> + Send;
    /// Writes it in place of the one that is known, if that is still there; else as a new one.
    fn write_slice(
        &self,
        known: Option<&EndpointSlice>,
        wanted: EndpointSlice,
    ) -> impl Future<Output = Result<Arc<EndpointSlice>, Error>> + Send;
    /// Sets or removes the `role` label of a pod with this uid and version.
    fn label_pod(
        &self,
        pod: &str,
        uid: &str,
        version: &str,
        label: Label,
    ) -> impl Future<Output = Result<(), Error>> + Send;
    /// Writes to a pod with this uid and version, so that it has another version.
    fn touch_pod(&self, pod: &str, uid: &str, version: &str) -> impl Future<Output = Result<(), Error>> + Send;
    /// Deletes a pod with this uid and version.
    fn delete_pod(&self, pod: &str, uid: &str, version: &str) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What a cache shows of the resource.
pub struct Shown<R> {
    /// Its version.
    pub version: Option<String>,
    /// Its record.
    pub record: Option<R>,
    /// The Services offer the exporter's port.
    pub metrics_port: bool,
}
