//! Observe, decide, execute, report: one pass per resource at a time.

use crate::absence;
use crate::args::Args;
use crate::client::Clients;
use crate::converge::converge;
use crate::error::Error;
use crate::events::Events;
use crate::execute::{Done, Failure};
use crate::exporter;
use crate::gather::{Around, observe};
use crate::invalid;
use crate::key::Key;
use crate::lease::Session;
use crate::metrics::Metrics;
use crate::mirror::{Guarded, Mirrors};
use crate::missing;
use crate::outage::Outages;
use crate::pass::{self, Scene, Settled};
use crate::report::report;
use crate::resource::{Held, Resource};
use crate::servers::Instances;
use crate::trigger::Triggers;
use crate::watch::Clock;
use futures::{StreamExt, stream};
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt};
use redis_operator_core::api::Redis;
use redis_operator_core::memory::Memory;
use redis_operator_core::observed::Observed;
use redis_operator_core::plan::{Plan, Step};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

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
    /// The operator's monotonic clock.
    pub clock: Clock,
    /// Passes that fail.
    pub outages: Outages,
    /// What is held of each resource.
    pub resources: Resources,
    /// Who may put objects right now.
    pub writers: Semaphore,
}

/// After so long of being dropped again and again, putting objects right is spared for a while: wake-ups may never end, and
/// people must see why.
const PATIENCE: Duration = Duration::from_secs(1);
/// One call that is never answered, and the status after it; a failover may wait no longer.
const SPARED: Duration = Duration::from_secs(3);

/// Resources by namespace and name.
#[derive(Default)]
pub struct Resources(Mutex<HashMap<(String, String), Arc<Resource>>>);

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
    let resources = Arc::clone(&context);
    // the mirror watches; a watch of the controller's own would stop all wakes for a while whenever it fails
    kube_runtime::Controller::for_stream(stream::pending(), context.mirrors.redis.clone())
        // without a limit: whoever waits for nothing but its own calls must not wait for those of others
        .with_config(controller::Config::default().concurrency(0))
        .reconcile_on(stream::iter(everything).chain(wakes))
        .run(reconcile, never, context)
        .for_each(|passed| {
            match passed {
                Ok(_) | Err(controller::Error::ReconcilerFailed(..)) => {}
                Err(controller::Error::ObjectNotFound(gone)) => {
                    let (namespace, name) = (gone.namespace.unwrap_or_default(), gone.name);
                    resources.resources.forget(&namespace, &name);
                    resources.triggers.forget(&ObjectRef::new(&name).within(&namespace));
                    let name = format!("{namespace}/{name}");
                    resources.outages.note(&name, None);
                    resources.metrics.forget(&name);
                }
                Err(error) => tracing::debug!(%error, "no pass"),
            }
            std::future::ready(())
        })
        .await;
}

async fn reconcile(guarded: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Infallible> {
    let redis = match &guarded.0 {
        Ok(redis) => redis,
        Err(invalid) => return Ok(invalid::report(&context, invalid).await),
    };
    let resource = context.resources.of(&context, redis);
    let again = passes(&context, &resource).await;
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// Passes over one resource. Returns when to look again if nothing calls before; nothing for a resource that is gone.
async fn passes(context: &Context, resource: &Resource) -> Option<Duration> {
    let began = Instant::now();
    let mut held = resource.held.lock().await;
    if let Some(rest) = held.rest() {
        return Some(rest);
    }
    held.failing.begin(resource.was_told());
    let servers = Instances {
        watch: &resource.watch,
        key: &context.key,
        redis_uid: &resource.uid,
    };
    let mut scene = Leading::new(context, resource, &mut held);
    // on the heap, here and below: as one value, all that a pass may wait for would fill a thread's stack
    let outcome = Box::pin(pass::run(&mut scene, &servers, &resource.cluster)).await;
    context
        .metrics
        .reconciled(outcome.as_ref().map_or_else(Error::label, |_| "ok"), began.elapsed());
    let (again, failed) = held.failing.end(&outcome);
    context.outages.note(&resource.full_name, failed.as_ref());
    again
}

/// A resource, its caches, its watch and its objects, for as long as one call of the controller takes.
struct Leading<'a> {
    context: &'a Context,
    resource: &'a Resource,
    held: &'a mut Held,
    urgent: watch::Receiver<()>,
    /// As the last observation found it.
    redis: Option<Arc<Redis>>,
}

impl<'a> Leading<'a> {
    fn new(context: &'a Context, resource: &'a Resource, held: &'a mut Held) -> Self {
        Self {
            context,
            resource,
            held,
            urgent: resource.urgent.clone(),
            redis: None,
        }
    }
}

impl Scene for Leading<'_> {
    fn memory(&mut self) -> &mut Memory {
        &mut self.held.kept.memory
    }

    async fn observe(&mut self) -> Result<Option<Observed>, Error> {
        self.urgent.mark_unchanged();
        self.redis = latest(self.context, self.resource);
        let Some(redis) = &self.redis else {
            return Ok(None);
        };
        self.resource.follow(self.context, redis);
        let Held {
            kept, masters_image, ..
        } = &mut *self.held;
        let mut around = Around {
            context: self.context,
            resource: self.resource,
            redis,
            masters_image,
        };
        Box::pin(observe(&mut around, kept)).await.map(Some)
    }

    fn decided(&mut self, seen: &Observed, plan: &Plan) {
        self.held.telling.observe(seen);
        let redis = &self.resource.full_name;
        let attached = seen.instances.values().filter(|instance| instance.attached).count();
        self.context.metrics.instances(redis, attached);
        if !plan.steps.is_empty() {
            let names: Vec<_> = plan.steps.iter().map(Step::name).collect();
            if self.held.ending.is_some() || self.held.failing.knows(plan) {
                tracing::debug!(redis, why = plan.why, steps = names.join(" "), "plan");
            } else {
                tracing::info!(redis, why = plan.why, steps = names.join(" "), "plan");
            }
        }
    }

    fn told(&mut self, seen: &Observed, plan: &Plan, step: &Step, done: &Done) {
        let context = self.context;
        self.held.failing.refusal.tried(plan, step, done, seen.now);
        if step.server().is_some() {
            let outcome = done.as_ref().map_or_else(Failure::label, |()| "ok");
            context.metrics.called(step.name(), outcome);
        }
        let Some(redis) = self.redis.as_ref().filter(|_| done.is_ok()) else {
            return;
        };
        let now = context.clock.now();
        if let Some(replaced) = self.held.telling.step(&context.events, redis, seen, step, now) {
            context.metrics.replaced(replaced.cause, replaced.took);
        }
    }

    fn ended(&mut self, plan: &Plan, done: &Done) {
        // nobody cares what is tried in a namespace that is being deleted
        if done.as_ref().is_err_and(Failure::is_ending) {
            self.held.ending = Some(Instant::now());
        } else {
            self.held.failing.note(plan, done);
        }
        if let Err(failure) = done {
            tracing::debug!(redis = self.resource.name, why = plan.why, %failure, "the pass ends");
        }
    }

    fn waits(&self) -> bool {
        self.held.kept.pods.waits()
    }

    async fn settle(&mut self, seen: &Observed, plan: &Plan) -> Result<Settled, Error> {
        let Some(redis) = &self.redis else {
            return Ok(Settled::Done);
        };
        let overdue = self.held.dropped.is_some_and(|since| since.elapsed() > PATIENCE);
        let turn = tokio::select! {
            biased;
            turn = self.context.writers.acquire() => turn.ok(),
            _ = self.urgent.changed() => None,
            () = tokio::time::sleep(plan.wake.unwrap_or(Duration::MAX)) => None,
        };
        let settled = match turn {
            None => Ok(Settled::Woken),
            Some(_turn) => tokio::select! {
                biased;
                () = woken(&mut self.urgent, overdue) => Ok(Settled::Woken),
                settled = Box::pin(settle(self.context, self.resource, self.held, redis, seen, plan)) => settled,
            },
        };
        self.held.dropped = match settled {
            Ok(Settled::Woken) => self.held.dropped.or_else(|| Some(Instant::now())),
            Ok(Settled::Done | Settled::Stalled) | Err(_) => None,
        };
        settled
    }
}

/// Something urgent has come; of what is overdue only after a while.
async fn woken(urgent: &mut watch::Receiver<()>, overdue: bool) {
    if overdue {
        tokio::time::sleep(SPARED).await;
    }
    // without a sender this process ends
    urgent.changed().await.ok();
}

/// Objects that drifted, then the status.
async fn settle(
    context: &Context,
    resource: &Resource,
    held: &mut Held,
    redis: &Redis,
    seen: &Observed,
    plan: &Plan,
) -> Result<Settled, Error> {
    // what is decided before what is put right
    let mut troubles: Vec<_> = held.failing.refusal.trouble(plan, seen.now).into_iter().collect();
    troubles.extend(Box::pin(converge(context, resource, held, redis, seen)).await);
    troubles.extend(Box::pin(missing::label(context, resource, &held.kept.strays, redis, seen)).await);
    troubles.extend(Box::pin(absence::explain(context, resource, held, seen)).await);
    troubles.extend(exporter::explain(context, resource, seen));
    Box::pin(report(context, resource, held, redis, seen, plan, &troubles)).await?;
    Ok(if troubles.is_empty() && !held.absences.are_open() {
        Settled::Done
    } else {
        Settled::Stalled
    })
}

/// The resource as the cache shows it now; none if it is gone, being another one, or unreadable.
fn latest(context: &Context, resource: &Resource) -> Option<Arc<Redis>> {
    let reference = ObjectRef::<Guarded>::new(&resource.name).within(&resource.namespace);
    let guarded = context.mirrors.redis.get(&reference)?;
    let redis = guarded.0.as_ref().ok()?;
    (redis.uid().as_ref() == Some(&resource.uid)).then(|| Arc::new(redis.clone()))
}

fn never(_: Arc<Guarded>, error: &Infallible, _: Arc<Context>) -> Action {
    match *error {}
}

fn guarded(redis: ObjectRef<Redis>) -> ObjectRef<Guarded> {
    let guarded = ObjectRef::new(&redis.name);
    match &redis.namespace {
        Some(namespace) => guarded.within(namespace),
        None => guarded,
    }
}

impl Resources {
    /// What is held of a resource; begun if there is nothing, or if it was of another resource of that name.
    fn of(&self, context: &Context, redis: &Redis) -> Arc<Resource> {
        let key = (redis.namespace().unwrap_or_default(), redis.name_any());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all
            .get(&key)
            .filter(|resource| redis.meta().uid.as_ref() == Some(&resource.uid));
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let new = Arc::new(Resource::new(context, redis));
        all.insert(key, Arc::clone(&new));
        new
    }

    fn forget(&self, namespace: &str, name: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(namespace.to_owned(), name.to_owned()));
    }
}

#[cfg(test)]
#[path = "controller_tests.rs"]
mod tests;
