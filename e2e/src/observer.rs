//! Watches one resource's pods and EndpointSlices and remembers every moment with two masters.
//!
//! A watch delivers every state that the API server has had, in order; a poll would miss the short ones that matter.

use crate::log::{self, Micros};
use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use redis_operator_core::names;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long the first lists may take.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);

/// Who claims a title that only one may have, object by object.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    title: &'static str,
    claims: BTreeMap<String, BTreeSet<String>>,
    listed: Option<BTreeMap<String, BTreeSet<String>>>,
    lists: usize,
    timeline: Vec<Entry>,
}

/// Who had a title from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Since when.
    pub at: Micros,
    /// Which title.
    pub title: &'static str,
    /// Who. More than one is a violation.
    pub holders: BTreeSet<String>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every change of a title, in order.
    pub timeline: Vec<Entry>,
    /// How often a watch had to begin anew: what happened meanwhile was not seen.
    pub blind: usize,
}

impl Seen {
    /// Moments with two pods labelled as master, or two published addresses.
    pub fn violations(&self) -> Vec<&Entry> {
        self.timeline.iter().filter(|entry| entry.holders.len() > 1).collect()
    }

    /// When this holder was first the only one with the title, after a moment.
    pub fn first(&self, title: &str, after: Micros) -> Option<&Entry> {
        let mut entries = self.timeline.iter();
        entries.find(|entry| entry.title == title && entry.at > after && entry.holders.len() == 1)
    }
}

/// The title of a pod that is labelled as master.
pub const LABELLED: &str = "role=master";
/// The title of an address behind the Service of the master.
pub const PUBLISHED: &str = "published";

impl Ledger {
    /// An empty ledger for this title.
    pub fn new(title: &'static str) -> Self {
        Self {
            title,
            ..Self::default()
        }
    }

    /// Takes one event of a watch: the object's name, and who claims the title by it.
    pub fn take(&mut self, at: Micros, event: Event<(String, BTreeSet<String>)>) {
        match event {
            Event::Apply((name, claimed)) => {
                self.claims.insert(name, claimed);
            }
            Event::Delete((name, _)) => {
                self.claims.remove(&name);
            }
            Event::Init => self.listed = Some(BTreeMap::new()),
            Event::InitApply((name, claimed)) => {
                self.listed.get_or_insert_default().insert(name, claimed);
            }
            Event::InitDone => {
                self.lists = self.lists.saturating_add(1);
                self.claims = self.listed.take().unwrap_or_default();
            }
        }
        let holders: BTreeSet<String> = self.claims.values().flatten().cloned().collect();
        // a list half received is no state that ever was
        if self.listed.is_none() && self.timeline.last().map(|entry| &entry.holders) != Some(&holders) {
            self.timeline.push(Entry {
                at,
                title: self.title,
                holders,
            });
        }
    }
}

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

    fn pod(name: &str, role: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.labels = Some([("role".to_owned(), role.to_owned())].into());
        pod
    }

    fn seen(events: Vec<Event<Pod>>) -> Seen {
        let mut ledger = Ledger::new(LABELLED);
        for (at, event) in (0..).zip(events) {
            ledger.take(at, named(event, labelled));
        }
        Seen {
            timeline: ledger.timeline,
            blind: ledger.lists - 1,
        }
    }

    fn begun(mut events: Vec<Event<Pod>>) -> Vec<Event<Pod>> {
        let mut all = vec![
            Event::Init,
            Event::InitApply(pod("a", "master")),
            Event::InitApply(pod("b", "replica")),
            Event::InitDone,
        ];
        all.append(&mut events);
        all
    }

    #[test]
    fn two_labels_at_once_are_a_violation_however_short() {
        let seen = seen(begun(vec![
            Event::Apply(pod("b", "master")),
            Event::Apply(pod("a", "replica")),
        ]));
        let violations = seen.violations();
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].holders, ["a".to_owned(), "b".to_owned()].into());
    }

    #[test]
    fn two_labels_in_a_list_are_a_violation() {
        let relist = vec![
            Event::Init,
            Event::InitApply(pod("a", "master")),
            Event::InitApply(pod("b", "master")),
            Event::InitDone,
        ];
        let seen = seen(begun(relist));
        assert_eq!((seen.violations().len(), seen.blind), (1, 1));
    }

    #[test]
    fn off_before_on_is_right() {
        let seen = seen(begun(vec![
            Event::Apply(pod("a", "")),
            Event::Apply(pod("b", "master")),
            Event::Apply(pod("a", "replica")),
        ]));
        assert_eq!(seen.violations(), Vec::<&Entry>::new());
        assert_eq!(seen.timeline.len(), 3, "a, nobody, b");
        assert_eq!(seen.first(LABELLED, 4).unwrap().holders, ["b".to_owned()].into());
    }

    #[test]
    fn the_label_of_a_deleted_pod_is_gone() {
        let seen = seen(begun(vec![
            Event::Delete(pod("a", "master")),
            Event::Apply(pod("b", "master")),
        ]));
        assert_eq!(seen.violations(), Vec::<&Entry>::new());
    }

    #[test]
    fn two_published_addresses_are_a_violation() {
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

        let mut ledger = Ledger::new(PUBLISHED);
        let claim = |name: &str, address: &str| (name.to_owned(), BTreeSet::from([address.to_owned()]));
        ledger.take(1, Event::Apply(claim("one", "10.0.0.1")));
        ledger.take(2, Event::Apply(claim("two", "10.0.0.2")));
        assert!(
            ledger.timeline.iter().any(|entry| entry.holders.len() == 2),
            "in two slices as well"
        );
    }
}
