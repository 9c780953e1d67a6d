//! Connections to the API server, with limits that suit a failover.
//!
//! Nothing is retried here: a pass that fails is made again from fresh observations, and a retry hidden below it would
//! send what was true some time ago.

use crate::args::Args;
use crate::metrics::Metrics;
use crate::renewing::Renewing;
use http::{Method, Request};
use kube::client::{Body, ClientBuilder};
use kube::config::InferConfigError;
use kube::{Client, Config};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tower::layer::layer_fn;
use tower::util::MapRequest;

/// One client for each kind of waiting; each has its own connections.
#[derive(Clone)]
pub struct Clients {
    /// For calls: every one of them needs a deadline of its own, see [`crate::error::within`]. After one that passed, all
    /// connections are new.
    pub calls: Client,
    /// For watches: a connection that stays silent past the watch's own end is closed.
    pub watches: Client,
    /// For the lease, whose library puts no deadline on its calls.
    pub lease: Client,
    /// The namespace of the service account, or of the kubeconfig's context.
    pub default_namespace: String,
}

/// No client could be made.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Neither a kubeconfig nor a service account.
    #[error("no API server to talk to; set KUBECONFIG, or run in a pod with a service account: {0}")]
    Config(#[from] Box<InferConfigError>),
    /// The configuration cannot be used.
    #[error("the API server's configuration cannot be used: {0}")]
    Client(#[from] Box<kube::Error>),
}

/// A watch sends something (at least its end) before its limit; this much later it is dead.
const WATCH_MARGIN: Duration = Duration::from_secs(2);

impl Clients {
    /// Makes all clients from the environment: `KUBECONFIG` or `~/.kube/config` first, then the pod's service account.
    pub async fn infer(args: &Args, metrics: &Arc<Metrics>) -> Result<Self, ClientError> {
        let mut config = Config::infer().await.map_err(Box::new)?;
        config.default_retry = false;
        config.connect_timeout = Some(args.api_limit);
        config.write_timeout = Some(args.api_limit);
        // else the time that a connection was idle counts as waiting for an answer
        config.reset_reader_on_write = true;
        let with_read_timeout = |limit: Option<Duration>| {
            let mut config = config.clone();
            config.read_timeout = limit;
            counting(config, metrics)
        };
        Ok(Self {
            // a limit here would also close idle connections, and the first call of a failover would wait for a new one
            calls: renewing(config.clone(), metrics, args.api_limit / 2)?,
            watches: with_read_timeout(Some(args.watch_limit + WATCH_MARGIN))?,
            // half of the deadline: a second attempt, on a new connection, still fits
            lease: with_read_timeout(Some(args.lease.renew_deadline / 2))?,
            default_namespace: config.default_namespace,
        })
    }
}

/// A client that counts what it writes, and that uses no connection on after a call that had no answer for `patience`.
fn renewing(config: Config, metrics: &Arc<Metrics>, patience: Duration) -> Result<Client, ClientError> {
    let namespace = config.default_namespace.clone();
    let first = counting(config.clone(), metrics)?;
    let metrics = Arc::clone(metrics);
    let make = move || {
        let made = counting(config.clone(), &metrics);
        made.inspect_err(|error| tracing::debug!(%error, "no fresh connections"))
            .ok()
    };
    Ok(Client::new(Renewing::new(first, patience, Arc::new(make)), namespace))
}

/// A client that counts what it writes. Counted where nothing can pass by, so that "a steady resource causes no writes"
/// can be read from the metrics.
fn counting(config: Config, metrics: &Arc<Metrics>) -> Result<Client, ClientError> {
    let metrics = Arc::clone(metrics);
    let count = move |request: Request<Body>| {
        if request.method() != Method::GET {
            metrics.wrote(request.method().as_str(), kind(request.uri().path()));
        }
        request
    };
    let layer = layer_fn(move |service| MapRequest::new(service, count.clone()));
    let builder = ClientBuilder::try_from(config).map_err(Box::new)?;
    Ok(builder.with_layer(&layer).build())
}

/// Kinds that this operator writes; anything else is `other`, so that the label stays bounded.
const KINDS: [&str; 12] = [
    "configmaps",
    "endpointslices",
    "events",
    "leases",
    "persistentvolumeclaims",
    "poddisruptionbudgets",
    "pods",
    "redis",
    "redis/status",
    "secrets",
    "services",
    "statefulsets",
];

/// The kind that a request's path is about: `/api/v1/namespaces/a/pods/b` is about pods.
fn kind(path: &str) -> &'static str {
    let mut parts = path.split('/').skip_while(|part| !matches!(*part, "api" | "apis"));
    let versions = if parts.next() == Some("apis") { 2 } else { 1 };
    let rest: Vec<&str> = parts.skip(versions).collect();
    let plural = match rest.as_slice() {
        ["namespaces", _, plural, _, "status"] => format!("{plural}/status"),
        ["namespaces", _, plural, ..] | [plural, ..] => (*plural).to_owned(),
        [] => String::new(),
    };
    KINDS.into_iter().find(|known| *known == plural).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_from_paths() {
        assert_eq!(kind("/api/v1/namespaces/a/pods/b"), "pods");
        assert_eq!(kind("/api/v1/namespaces/a/pods"), "pods");
        assert_eq!(kind("/apis/apps/v1/namespaces/a/statefulsets/b"), "statefulsets");
        assert_eq!(
            kind("/apis/redis-operator.dev/v1alpha1/namespaces/a/redis/b/status"),
            "redis/status"
        );
        assert_eq!(
            kind("/proxy/apis/redis-operator.dev/v1alpha1/namespaces/a/redis/b"),
            "redis"
        );
        assert_eq!(kind("/apis/apps/v1/namespaces/pods/deployments/b"), "other");
        assert_eq!(kind("/"), "other");
    }
}
