//! Watches one resource, its pods and its EndpointSlices, and remembers every moment with two masters, and who went when.
//!
//! A watch delivers every state that the API server has had, in order; a poll would miss the short ones that matter.

use crate::health::Lives;
use crate::ledger::{Ledger, Seen};
use crate::log::{self, Micros};
use crate::subject::record;
use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// Watches that run until [`Observer::stop`].
pub struct Observer {
    ledgers: Vec<Arc<Mutex<Ledger>>>,
    lives: Arc<Mutex<Lives>>,
    watches: Vec<Watch>,
}

/// One watch, and how often it has listed everything: once, unless it was interrupted.
struct Watch {
    task: JoinHandle<()>,
    lists: Arc<AtomicUsize>,
}

impl Observer {
    /// Begins to watch a resource; returns once all watches have their first list, so nothing later is missed.
    pub async fn start(client: &Client, namespace: &str, redis: &str) -> Result<Self> {
        let pods = Api::<Pod>::namespaced(client.clone(), namespace);
        let slices = Api::<EndpointSlice>::namespaced(client.clone(), namespace);
        let resources = Api::<Redis>::namespaced(client.clone(), namespace);
        let its_pods = watcher::Config::default().labels(&names::selector_text(redis));
        let of_service = format!("{}={}", names::LABEL_SERVICE_NAME, names::master_service(redis));
        let its_slices = watcher::Config::default().labels(&of_service);
        let itself = watcher::Config::default().fields(&format!("metadata.name={redis}"));
        let lives = Arc::new(Mutex::new(Lives::default()));
        let mut observer = Self {
            ledgers: Vec::new(),
            lives: Arc::clone(&lives),
            watches: Vec::new(),
        };
        observer.title(LABELLED, pods.clone(), its_pods.clone(), labelled);
        observer.title(PUBLISHED, slices, its_slices, published);
        observer.watch(pods, its_pods, {
            let lives = Arc::clone(&lives);
            move |at, event| match event {
                Event::Apply(pod) | Event::InitApply(pod) => lock(&lives).pod(at, &pod),
                Event::Delete(pod) => lock(&lives).deleted(at, &pod),
                Event::Init | Event::InitDone => {}
            }
        });
        observer.watch(resources, itself, move |at, event| {
            if let Event::Apply(redis) | Event::InitApply(redis) = event
                && let Ok(record) = record(&redis)
            {
                lock(&lives).record(at, &record);
            }
        });
        timeout(BEGIN_LIMIT, observer.begun())
            .await
            .context("the observer's watches did not begin")?;
        Ok(observer)
    }

    fn title<K>(
        &mut self,
        title: &'static str,
        api: Api<K>,
        config: watcher::Config,
        claimed: fn(&K) -> BTreeSet<String>,
    ) where
        K: kube::Resource + Clone + Debug + Send + serde::de::DeserializeOwned + 'static,
    {
        let ledger = Arc::new(Mutex::new(Ledger::new(title)));
        self.ledgers.push(Arc::clone(&ledger));
        self.watch(api, config, move |at, event| {
            lock(&ledger).take(at, named(event, claimed))
        });
    }

    fn watch<K>(
        &mut self,
        api: Api<K>,
        config: watcher::Config,
        mut take: impl FnMut(Micros, Event<K>) + Send + 'static,
    ) where
        K: kube::Resource + Clone + Debug + Send + serde::de::DeserializeOwned + 'static,
    {
        let lists = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lists);
        let events = watcher(api, config);
        let task = tokio::spawn(async move {
            let mut events = pin!(events);
            while let Some(event) = events.next().await {
                let Ok(event) = event else {
                    // the watcher begins again by itself, with a new list
                    sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let listed = matches!(event, Event::InitDone);
                take(log::now(), event);
                counted.fetch_add(usize::from(listed), Ordering::Release);
            }
        });
        self.watches.push(Watch { task, lists });
    }

    async fn begun(&self) {
        while self.watches.iter().any(|watch| watch.lists() == 0) {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends all watches and says what they saw.
    pub fn stop(self) -> Result<Seen> {
        let mut seen = Seen::default();
        for watch in &self.watches {
            if watch.task.is_finished() {
                bail!("a watch of the observer ended by itself: it proves nothing");
            }
            watch.task.abort();
            seen.blind = seen.blind.saturating_add(watch.lists().saturating_sub(1));
        }
        seen.lives = lock(&self.lives).clone();
        for ledger in &self.ledgers {
            seen.timeline.extend(lock(ledger).timeline.clone());
        }
        seen.timeline.sort_by_key(|entry| entry.at);
        Ok(seen)
    }
}

impl Watch {
    fn lists(&self) -> usize {
        self.lists.load(Ordering::Acquire)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.watches.iter().for_each(|watch| watch.task.abort());
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
