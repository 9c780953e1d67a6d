//! What the operator made for a resource, kept as desired.

mod altered;
mod keep;

use crate::error::Error;
use crate::mirror::Mirrors;
pub use altered::Altered;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use keep::keep;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource};
use redis_operator_core::names;
use redis_operator_core::observed::Moment;
use redis_operator_core::resources::Resources;
use std::sync::Arc;
use std::time::Duration;

/// The objects of one resource as they were at one moment. What is written later conflicts if anything was written since:
/// so take it *before* reading the record, and a process that is no longer the holder writes nothing that a successor has
/// touched.
pub struct Live {
    config_map: Option<Arc<ConfigMap>>,
    /// Its Secret; generated passwords in it win over derived ones.
    pub secret: Option<Arc<Secret>>,
    headless_service: Option<Arc<Service>>,
    service: Option<Arc<Service>>,
    master_service: Option<Arc<Service>>,
    replica_service: Option<Arc<Service>>,
    disruption_budget: Option<Arc<PodDisruptionBudget>>,
    /// Its StatefulSet; pods are owned by this uid.
    pub stateful_set: Option<Arc<StatefulSet>>,
}

impl Live {
    /// What the mirrors show now.
    pub fn of(mirrors: &Mirrors, namespace: &str, redis: &str) -> Self {
        fn get<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Arc<K>>
        where
            K: Resource<DynamicType = ()> + Clone + 'static,
        {
            store.get(&ObjectRef::new(name).within(namespace))
        }
        let object = names::object(redis);
        let service = |name: &str| get(&mirrors.services, namespace, name);
        Self {
            config_map: get(&mirrors.config_maps, namespace, &object),
            secret: get(&mirrors.secrets, namespace, &object),
            headless_service: service(&names::headless_service(redis)),
            service: service(&object),
            master_service: service(&names::master_service(redis)),
            replica_service: service(&names::replica_service(redis)),
            disruption_budget: get(&mirrors.disruption_budgets, namespace, &object),
            stateful_set: get(&mirrors.stateful_sets, namespace, &object),
        }
    }
}

/// An object that was not as desired.
#[derive(Debug)]
pub struct Change {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

impl Change {
    /// The API server does not take the StatefulSet as it should be.
    pub fn is_refused_set(&self) -> bool {
        self.kind == "StatefulSet" && matches!(self.outcome, Outcome::Failed(_))
    }

    /// Whether it is as desired now is not known, or it is not.
    fn is_open(&self) -> bool {
        match self.outcome {
            Outcome::Created | Outcome::Applied | Outcome::Foreign(_) => false,
            Outcome::Again | Outcome::Altered { .. } | Outcome::Failed(_) => true,
        }
    }
}

/// What became of an object that was not as desired.
#[derive(Debug)]
pub enum Outcome {
    /// It did not exist.
    Created,
    /// It was different.
    Applied,
    /// Somebody else changes it whenever it is written.
    Altered {
        /// Where it is not as desired.
        at: Vec<String>,
        /// It was written just now; else it is left alone for a while.
        written: bool,
    },
    /// Somebody wrote it since it was read. The mirror will show it and wake the resource.
    Again,
    /// It belongs to somebody else, who is named if the object says so. It is left alone.
    Foreign(Option<String>),
    /// The API server refused it or did not answer.
    Failed(Error),
}

/// How objects are written.
pub struct Writer<'a> {
    /// The API server.
    pub client: &'a Client,
    /// How long a call may take.
    pub limit: Duration,
    /// What somebody else changes: that is written seldom.
    pub altered: &'a Altered,
    /// When the pass observed.
    pub now: Moment,
}

/// Makes everything as desired. What is as desired already is left out of the answer. One object that is refused does not
/// keep the others from being written.
///
/// Without `secret`, for nobody knows what it should hold, that one stays as it is; and where there is none no pod can start, so
/// the StatefulSet waits for it.
pub async fn converge(writer: &Writer<'_>, live: Live, desired: Resources, with_secret: bool) -> Vec<Change> {
    let pods_can_start = with_secret || live.secret.is_some();
    let Resources {
        config_map,
        secret,
        headless_service,
        service,
        master_service,
        replica_service,
        disruption_budget,
        stateful_set,
    } = desired;
    // the pods come last, for they need the others
    let (config_map, secret, headless, service, master, replica, budget) = tokio::join!(
        keep(writer, live.config_map, config_map),
        keep_if(with_secret, keep(writer, live.secret, secret)),
        keep(writer, live.headless_service, headless_service),
        keep(writer, live.service, service),
        keep(writer, live.master_service, master_service),
        keep(writer, live.replica_service, replica_service),
        keep(writer, live.disruption_budget, disruption_budget),
    );
    let stateful_set = keep_if(pods_can_start, keep(writer, live.stateful_set, stateful_set)).await;
    let changes = [
        config_map,
        secret,
        headless,
        service,
        master,
        replica,
        budget,
        stateful_set,
    ];
    changes.into_iter().flatten().collect()
}

async fn keep_if(so: bool, keep: impl Future<Output = Option<Change>>) -> Option<Change> {
    if so { keep.await } else { None }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
