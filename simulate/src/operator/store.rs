//! The simulated API server as one operator process reads and writes it.

use super::side::Handle;
use crate::cluster::api::{Redis, Request, Response};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::Status;
use redis_operator::cluster::{Shown, Store};
use redis_operator::error::Error;
use redis_operator_core::plan::Label;
use redis_operator_core::record::{Found, Record};
use std::sync::Arc;
use std::time::Duration;

/// The simulated API server.
pub(super) struct Simulated(pub(super) Handle);

impl Simulated {
    async fn pod(&self, request: Request) -> Result<(), Error> {
        match self.0.api(request).await {
            Response::Done => Ok(()),
            other => Err(error("write a pod", &other)),
        }
    }
}

/// As the real one says it.
pub(super) fn error(what: &'static str, response: &Response) -> Error {
    match response {
        Response::Conflict => refused(what, 409),
        Response::Deadline => Error::Deadline {
            what: what.to_owned(),
            limit: Duration::from_secs(2),
        },
        _ => Error::Unexpected("unreachable".to_owned()),
    }
}

fn refused(what: &'static str, code: u16) -> Error {
    let status = Status::failure("", "").with_code(code);
    Error::Api {
        what: what.to_owned(),
        source: Box::new(kube::Error::Api(Box::new(status))),
    }
}

impl Store for Simulated {
    type Redis = Redis;
    type Record = Arc<Record>;

    fn shown(cached: &Redis) -> Shown<Arc<Record>> {
        Shown {
            version: Some(cached.version.to_string()),
            record: cached.record.clone(),
            metrics_port: false,
        }
    }

    fn found(record: Option<&Arc<Record>>) -> Found {
        record.map_or(Found::Absent, |record| Found::Record(Box::new((**record).clone())))
    }

    fn term(record: &Arc<Record>) -> u64 {
        record.term
    }

    async fn read_record(&self) -> Result<Option<Arc<Record>>, Error> {
        match self.0.api(Request::Record).await {
            Response::Record(record) => Ok(record),
            other => Err(error("read the record", &other)),
        }
    }

    async fn write_record(&self, before: Option<&Arc<Record>>, next: &Record) -> Result<Arc<Record>, Error> {
        let next = Arc::new(next.clone());
        let request = Request::WriteRecord(Arc::clone(&next), before.cloned());
        match self.0.api(request).await {
            Response::Done => Ok(next),
            other => Err(error("the record", &other)),
        }
    }

    async fn read_slice(&self) -> Result<Option<Arc<EndpointSlice>>, Error> {
        match self.0.api(Request::Slice).await {
            Response::Slice(slice) => Ok(slice),
            other => Err(error("read the slice", &other)),
        }
    }

    async fn write_slice(&self, _: Option<&EndpointSlice>, wanted: EndpointSlice) -> Result<Arc<EndpointSlice>, Error> {
        match self.0.api(Request::PutSlice(Box::new(wanted))).await {
            Response::Slice(Some(slice)) => Ok(slice),
            // as if it were known that it was not served: the rule is taken out
            Response::Deadline | Response::Unreachable if !self.0.lock().doubts => Err(refused("the slice", 403)),
            other => Err(error("the slice", &other)),
        }
    }

    async fn label_pod(&self, pod: &str, uid: &str, version: &str, label: Label) -> Result<(), Error> {
        let request = Request::Label(pod.to_owned(), uid.to_owned(), version.to_owned(), label);
        self.pod(request).await
    }

    async fn touch_pod(&self, pod: &str, uid: &str, version: &str) -> Result<(), Error> {
        let request = Request::TouchPod(pod.to_owned(), uid.to_owned(), version.to_owned());
        self.pod(request).await
    }

    async fn delete_pod(&self, pod: &str, uid: &str, version: &str) -> Result<(), Error> {
        let request = Request::DeletePod(pod.to_owned(), uid.to_owned(), version.to_owned());
        self.pod(request).await
    }
}
