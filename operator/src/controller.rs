//! Observe, decide, execute, report: one pass per resource at a time.

use crate::args::Args;
use crate::client::Clients;
use crate::error::Error;
use crate::events::Events;
use crate::key::Key;
use crate::lease::Session;
use crate::metrics::Metrics;
use crate::mirror::{Guarded, Mirrors, Pause};
use crate::trigger::Triggers;
use futures::{StreamExt, stream};
use kube::Resource;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::ObjectRef;
use redis_operator_core::api::Redis;
use std::sync::Arc;
use std::time::Duration;

/// Everything that a pass may use. One for each stretch of leadership.
pub struct Context {
    /// The API server.
    pub clients: Clients,
    /// Local copies of objects.
    pub mirrors: Mirrors,
    /// Where to ask for passes.
    pub triggers: Triggers,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Sentences for people.
    pub events: Events,
    /// This stretch of leadership.
    pub session: Session,
    /// What passwords are derived from.
    pub key: Key,
    /// What was configured.
    pub args: Arc<Args>,
}

/// Runs passes until dropped.
pub async fn run(context: Arc<Context>) {
    // first subscribe, then look at everything: nothing falls between
    let wakes = context.triggers.subscribe().map(guarded);
    let everything: Vec<_> = context
        .mirrors
        .redis
        .state()
        .iter()
        .map(|it| ObjectRef::from_obj(&**it))
        .collect();
    let config = controller::Config::default().concurrency(context.args.concurrency);
    // the mirror watches; a watch of the controller's own would stop all wakes for a while whenever it fails
    kube_runtime::Controller::for_stream(stream::pending(), context.mirrors.redis.clone())
        .with_config(config)
        .trigger_backoff(Pause::default())
        .reconcile_on(stream::iter(everything).chain(wakes))
        .run(reconcile, retry, context)
        .for_each(|passed| async move {
            match passed {
                Ok(_) | Err(controller::Error::ReconcilerFailed(..)) => {}
                Err(error) => tracing::debug!(%error, "no pass"),
            }
        })
        .await;
}

async fn reconcile(redis: Arc<Guarded>, _context: Arc<Context>) -> Result<Action, Error> {
    tracing::debug!(name = redis.meta().name, "pass");
    Ok(Action::await_change())
}

fn retry(_redis: Arc<Guarded>, error: &Error, _context: Arc<Context>) -> Action {
    tracing::warn!(%error, "pass failed");
    Action::requeue(Duration::from_secs(1))
}

fn guarded(redis: ObjectRef<Redis>) -> ObjectRef<Guarded> {
    let guarded = ObjectRef::new(&redis.name);
    match &redis.namespace {
        Some(namespace) => guarded.within(namespace),
        None => guarded,
    }
}
