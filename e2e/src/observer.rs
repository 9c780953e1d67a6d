//! Watches one resource's pods and EndpointSlices and remembers every moment with two masters.
//!
//! A watch delivers every state that the API server has had, in order; a poll would miss the short ones that matter.

use crate::ledger::{Ledger, Seen};
use crate::log;
use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use redis_operator_core::names;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long the first lists may take.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);

/// The title of a pod that is labelled as master.
pub const LABELLED: &str = "role=master";
/// The title of an address behind the Service of the master.
pub const PUBLISHED: &str = "published";

/// Two watches that run until [`Observer::stop`].
pub struct Observer {
    ledgers: Vec<Arc<Mutex<Ledger>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Observer {
    /// Begins to watch a resource; returns once both watches have their first list, so nothing later is missed.
    pub async fn start(client: &Client, namespace: &str, redis: &str) -> Result<Self> {
        let pods = Api::<Pod>::namespaced(client.clone(), namespace);
        let slices = Api::<EndpointSlice>::namespaced(client.clone(), namespace);
        let of_service = format!("{}={}", names::LABEL_SERVICE_NAME, names::master_service(redis));
        let mut observer = Self {
            ledgers: Vec::new(),
            tasks: Vec::new(),
        };
        observer.follow(LABELLED, pods, &names::selector_text(redis), labelled);
        observer.follow(PUBLISHED, slices, &of_service, published);
        timeout(BEGIN_LIMIT, observer.begun())
            .await
            .context("the observer's watches did not begin")?;
        Ok(observer)
    }

    fn follow<K>(&mut self, title: &'static str, api: Api<K>, selector: &str, claimed: fn(&K) -> BTreeSet<String>)
    where
        K: kube::Resource + Clone + Debug + Send + serde::de::DeserializeOwned + 'static,
    {
        let ledger = Arc::new(Mutex::new(Ledger::new(title)));
        let config = watcher::Config::default().labels(selector);
        let events = watcher(api, config);
        self.ledgers.push(Arc::clone(&ledger));
        self.tasks.push(tokio::spawn(async move {
            let mut events = pin!(events);
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => lock(&ledger).take(log::now(), named(event, claimed)),
                    // the watcher begins again by itself, with a new list
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
            }
        }));
    }

    async fn begun(&self) {
        while self.ledgers.iter().any(|ledger| lock(ledger).lists == 0) {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends both watches and says what they saw.
    pub fn stop(self) -> Result<Seen> {
        let mut seen = Seen::default();
        for task in &self.tasks {
            if task.is_finished() {
                bail!("a watch of the observer ended by itself: it proves nothing");
            }
            task.abort();
        }
        for ledger in &self.ledgers {
            let ledger = lock(ledger).clone();
            seen.blind = seen.blind.saturating_add(ledger.lists.saturating_sub(1));
            seen.timeline.extend(ledger.timeline);
        }
        seen.timeline.sort_by_key(|entry| entry.at);
        Ok(seen)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock(ledger: &Mutex<Ledger>) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

fn named<K: kube::Resource>(event: Event<K>, claimed: fn(&K) -> BTreeSet<String>) -> Event<(String, BTreeSet<String>)> {
    let name = |object: K| (object.name_any(), claimed(&object));
    match event {
        Event::Apply(object) => Event::Apply(name(object)),
        Event::Delete(object) => Event::Delete(name(object)),
        Event::InitApply(object) => Event::InitApply(name(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

fn labelled(pod: &Pod) -> BTreeSet<String> {
    let role = pod.labels().get(names::LABEL_ROLE).map(String::as_str);
    let master = role == Some(names::ROLE_MASTER);
    master.then(|| pod.name_any()).into_iter().collect()
}

/// Every address to which a proxy would send clients.
pub fn published(slice: &EndpointSlice) -> BTreeSet<String> {
    let ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
    };
    let endpoints = slice.endpoints.iter().filter(ready);
    endpoints.flat_map(|endpoint| endpoint.addresses.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions};

    #[test]
    fn only_the_masters_label_claims() {
        let pod = |role: &str| {
            let mut pod = Pod::default();
            pod.metadata.name = Some("a".to_owned());
            pod.metadata.labels = Some([("role".to_owned(), role.to_owned())].into());
            pod
        };
        assert_eq!(labelled(&pod("master")), ["a".to_owned()].into());
        assert_eq!(labelled(&pod("replica")), BTreeSet::new());
        assert_eq!(labelled(&Pod::default()), BTreeSet::new());
    }

    #[test]
    fn every_address_that_gets_clients_is_published() {
        let endpoint = |address: &str, ready| Endpoint {
            addresses: vec![address.to_owned()],
            conditions: Some(EndpointConditions {
                ready,
                ..EndpointConditions::default()
            }),
            ..Endpoint::default()
        };
        let slice = |endpoints| EndpointSlice {
            endpoints,
            ..EndpointSlice::default()
        };
        let both = slice(vec![endpoint("10.0.0.1", None), endpoint("10.0.0.2", Some(true))]);
        assert_eq!(published(&both).len(), 2);
        assert_eq!(published(&slice(vec![endpoint("10.0.0.1", Some(false))])).len(), 0);
    }
}
