//! Runs a plan's steps in their order and stops at the first that fails. The next pass observes what came of it.
//!
//! Generic over two traits, the servers and the API, so that a simulation can run the real thing over its own world.

use crate::error::Error;
use crate::fail_point;
use crate::redis::CallError;
use redis_operator_core::plan::{Label, Plan, Step};
use redis_operator_core::record::{Claim, Process, Record};
use std::future::Future;
use thiserror::Error as ThisError;

/// Why a step did not succeed. It may have been done all the same: a command whose deadline passed can still run.
#[derive(Debug, ThisError)]
pub enum Failure {
    /// Somebody else wrote first, or what was to be written is gone: look again at once.
    #[error("{0} changed meanwhile")]
    Conflict(&'static str),
    /// It is not any more as the cache showed it: look again when the cache has caught up.
    #[error("{0} has changed since it was seen")]
    Stale(&'static str),
    /// This operator has no connection to that very process under its lease.
    #[error("no connection to {0} that may be used")]
    NotConnected(String),
    /// A server refused, or did not answer in time.
    #[error("{pod}: {source}")]
    Server {
        /// Which.
        pod: String,
        /// How.
        source: CallError,
    },
    /// The API server refused, or did not answer in time.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure {
    /// The namespace is being deleted: nobody cares what cannot be created there.
    pub fn is_ending(&self) -> bool {
        matches!(self, Self::Api(error) if error.is_terminating())
    }

    /// For metrics: one of a handful of words.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Conflict(_) | Self::Stale(_) => "conflict",
            Self::NotConnected(_) => "not-connected",
            Self::Server { source, .. } => source.label(),
            Self::Api(error) => error.label(),
        }
    }
}

/// What a step came to.
pub type Done = Result<(), Failure>;

/// The servers, by process: a command never reaches another process than the one that was observed.
pub trait Servers: Sync {
    /// Creates the replication user of a pod on a master.
    fn add_user(&self, on: &Process, uid: &str) -> impl Future<Output = Done> + Send;
    /// Deletes a replication user and closes its connections.
    fn drop_user(&self, on: &Process, user: &str) -> impl Future<Output = Done> + Send;
    /// Follows a master as the replication user of its own pod.
    fn follow(&self, who: &Process, master: &str) -> impl Future<Output = Done> + Send;
    /// Follows nobody.
    fn freeze(&self, who: &Process) -> impl Future<Output = Done> + Send;
    /// Holds back the writes of a master's clients, for 3 s at most.
    fn pause(&self, who: &Process) -> impl Future<Output = Done> + Send;
    /// Lets them go on.
    fn resume(&self, who: &Process) -> impl Future<Output = Done> + Send;
    /// Is no master any more, fenced and without applications.
    fn demote(&self, who: &Process) -> impl Future<Output = Done> + Send;
    /// Becomes master with replication users for these pods, and verifies the claim.
    fn promote(&self, claim: &Claim, users: &[String]) -> impl Future<Output = Done> + Send;
    /// Sets the write guard.
    fn guard(&self, on: &Process, replicas: u32, lag: u32) -> impl Future<Output = Done> + Send;
    /// Opens the fence.
    fn serve(&self, who: &Process) -> impl Future<Output = Done> + Send;
    /// Sets `replica-priority`.
    fn priority(&self, on: &Process, priority: u32) -> impl Future<Output = Done> + Send;
    /// Closes the applications' connections.
    fn cut_clients(&self, on: &Process) -> impl Future<Output = Done> + Send;
}

/// The API server, each write with its precondition.
pub trait Api: Sync {
    /// Writes the record if the one with the seq before is still there.
    fn write_record(&self, record: &Record) -> impl Future<Output = Done> + Send;
    /// Writes this holder into the master's slice, creating it without endpoints if it is missing.
    fn touch_slice(&self) -> impl Future<Output = Done> + Send;
    /// Lets the master's slice name a process.
    fn publish(&self, master: &Process) -> impl Future<Output = Done> + Send;
    /// Sets or removes a pod's `role` label if it still is as it was observed.
    fn label(&self, pod: &str, uid: &str, resource_version: &str, label: Label) -> impl Future<Output = Done> + Send;
    /// Writes to a pod if it still is as it was observed.
    fn touch_pod(&self, pod: &str, uid: &str, resource_version: &str) -> impl Future<Output = Done> + Send;
    /// Deletes a pod if it still is as it was observed.
    fn delete_pod(&self, pod: &str, uid: &str, resource_version: &str) -> impl Future<Output = Done> + Send;
}

/// Runs the steps, and tells what came of each. Around each lie the fail points `WHY.before-STEP` and `WHY.after-STEP`.
///
/// # Errors
/// The first failure; the steps after it were not begun.
pub async fn execute(plan: &Plan, servers: &impl Servers, api: &impl Api, mut told: impl FnMut(&Step, &Done)) -> Done {
    for step in &plan.steps {
        fail_point::reach(&point(plan, "before", step));
        let done = run(step, servers, api).await;
        told(step, &done);
        done?;
        fail_point::reach(&point(plan, "after", step));
    }
    Ok(())
}

/// The same step belongs to several plans, so a point names the plan's reason too: `promote.before-promote`.
fn point(plan: &Plan, when: &str, step: &Step) -> String {
    let why = plan.why.replace(": ", "-").replace(' ', "-");
    format!("{why}.{when}-{}", step.name())
}

async fn run(step: &Step, servers: &impl Servers, api: &impl Api) -> Done {
    match step {
        Step::Record(record) => api.write_record(record).await,
        Step::TouchSlice => api.touch_slice().await,
        Step::Publish(master) => api.publish(master).await,
        Step::Label {
            pod,
            uid,
            resource_version,
            label,
        } => api.label(pod, uid, resource_version, *label).await,
        Step::TouchPod {
            pod,
            uid,
            resource_version,
        } => api.touch_pod(pod, uid, resource_version).await,
        Step::DeletePod {
            pod,
            uid,
            resource_version,
        } => api.delete_pod(pod, uid, resource_version).await,
        Step::AddUser { on, uid } => servers.add_user(on, uid).await,
        Step::DropUser { on, user } => servers.drop_user(on, user).await,
        Step::Follow { who, master } => servers.follow(who, master).await,
        Step::Freeze(who) => servers.freeze(who).await,
        Step::Promote { claim, users } => servers.promote(claim, users).await,
        Step::Guard { on, replicas, lag } => servers.guard(on, *replicas, *lag).await,
        Step::Pause(who) => servers.pause(who).await,
        Step::Resume(who) => servers.resume(who).await,
        Step::Demote(who) => servers.demote(who).await,
        Step::Serve(who) => servers.serve(who).await,
        Step::Priority { on, priority } => servers.priority(on, *priority).await,
        Step::CutClients(on) => servers.cut_clients(on).await,
    }
}
