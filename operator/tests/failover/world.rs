//! One resource: its pods, what the API server holds of it, and what its clients do.

use crate::fake_api::FakeApi;
use crate::ledger::Ledger;
use crate::pod::{Files, PORT, Pod};
use crate::support::{Client, LIMIT};
use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use redis_operator::key::{self, Key};
use redis_operator_core::api::{Redis, RedisSpec, Storage};
use redis_operator_core::credentials::Passwords;
use redis_operator_core::names;
use redis_operator_core::record::{Found, Record};
use redis_operator_core::resources::{Inputs, build};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Name of the resource.
pub(crate) const NAME: &str = "a";
/// Its namespace.
pub(crate) const NAMESPACE: &str = "test";

const REDIS: &str = "/apis/redis-operator.dev/v1alpha1/namespaces/test/redis/a";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/test/endpointslices/redis-a-master";

/// Where a process keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    Memory,
    Rdb,
    Aof,
}

/// One resource, its API server and its pods.
pub(crate) struct World {
    pub(crate) api: FakeApi,
    pub(crate) key: Key,
    pub(crate) pods: BTreeMap<u32, Pod>,
    pub(crate) ledger: Ledger,
    passwords: Passwords,
    uids: u32,
}

impl World {
    /// A resource whose pods run, and no operator yet.
    pub(crate) async fn new(replicas: u32, disk: Disk) -> Self {
        let api = FakeApi::default();
        let key = key::try_obtain(&api.client(), NAMESPACE, LIMIT).await.unwrap();
        let mut redis = Redis::new(NAME, spec(replicas, disk));
        redis.metadata.namespace = Some(NAMESPACE.to_owned());
        redis.metadata.uid = Some("uid-of-a".to_owned());
        let mut redis = serde_json::to_value(redis).unwrap();
        redis["status"] = json!({"record": null});
        api.put(REDIS, redis);
        let passwords = Passwords::derive(key.bytes(), "uid-of-a");
        let ledger = Ledger::default();
        let mut world = Self {
            api,
            key,
            pods: BTreeMap::new(),
            ledger,
            passwords,
            uids: 0,
        };
        for ordinal in 0..replicas {
            world.create(ordinal);
            world.start(ordinal);
        }
        world
    }

    /// A pod without a process.
    pub(crate) fn create(&mut self, ordinal: u32) {
        self.uids += 1;
        let uid = format!("pod-{ordinal}-{}", self.uids);
        let name = names::pod(NAME, i32::try_from(ordinal).unwrap());
        self.pods.insert(ordinal, Pod::new(name, uid));
        self.show(ordinal);
    }

    /// The pod object and its process are gone.
    pub(crate) fn remove(&mut self, ordinal: u32) {
        let pod = self.pods.remove(&ordinal).unwrap();
        self.api.delete(&path(&pod.name));
    }

    /// A new process in the pod.
    pub(crate) fn start(&mut self, ordinal: u32) {
        self.start_with(ordinal, "");
    }

    /// The same, with further lines of configuration.
    pub(crate) fn start_with(&mut self, ordinal: u32, more: &str) {
        let files = self.files();
        self.pod(ordinal).start(&files, more);
        self.show(ordinal);
    }

    /// SIGKILL. The kubelet has not noticed yet.
    pub(crate) fn kill(&mut self, ordinal: u32) {
        self.pod(ordinal).kill();
    }

    /// The kubelet notices that the container ended.
    pub(crate) fn notice_end(&mut self, ordinal: u32) {
        self.pod(ordinal).notice_end();
        self.show(ordinal);
    }

    /// Somebody deletes the pod; its process still runs.
    pub(crate) fn delete(&mut self, ordinal: u32) {
        self.pod(ordinal).deleting = true;
        self.show(ordinal);
    }

    pub(crate) fn pod(&mut self, ordinal: u32) -> &mut Pod {
        self.pods.get_mut(&ordinal).unwrap()
    }

    /// `kubectl scale`.
    pub(crate) fn scale(&self, replicas: u32) {
        self.edit(|redis| redis["spec"]["replicas"] = json!(replicas));
    }

    /// Changes the resource, as a user would.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut redis = self.api.get(REDIS).unwrap();
        change(&mut redis);
        self.api.put(REDIS, redis);
    }

    /// The record is lost.
    pub(crate) fn lose_record(&self) {
        self.edit(|redis| redis["status"]["record"] = Value::Null);
    }

    /// The spec gives these pods, by ordinal, these priorities.
    pub(crate) fn prefer(&self, priorities: &[(u32, i32)]) {
        let entries = priorities
            .iter()
            .map(|(n, priority)| json!({"priority": priority, "ordinals": [n]}));
        let entries: Vec<_> = entries.collect();
        self.edit(|redis| redis["spec"]["priorities"] = json!(entries));
    }

    pub(crate) fn redis(&self) -> Redis {
        serde_json::from_value(self.api.get(REDIS).unwrap()).unwrap()
    }

    pub(crate) fn record(&self) -> Record {
        match Found::read(self.redis().status.and_then(|status| status.record).as_ref()) {
            Found::Record(record) => *record,
            other => panic!("no record: {other:?}"),
        }
    }

    pub(crate) fn slice(&self) -> Option<EndpointSlice> {
        Some(serde_json::from_value(self.api.get(SLICE)?).unwrap())
    }

    /// The address behind the `-master` Service.
    pub(crate) fn published(&self) -> Option<IpAddr> {
        published(&self.api)
    }

    /// The pod behind the `-master` Service.
    pub(crate) fn master(&self) -> u32 {
        let address = self.published().expect("a published master");
        let pod = self.pods.iter().find(|(_, pod)| pod.ip == address);
        *pod.expect("the published address is a pod's").0
    }

    /// The pods that an operator's cache shows.
    pub(crate) fn pod_objects(&self) -> Vec<Arc<v1::Pod>> {
        let objects = self.pods.values().filter_map(|pod| self.api.get(&path(&pod.name)));
        let labelled = objects.filter(|it| it["metadata"]["labels"][names::LABEL_REDIS] == NAME);
        labelled
            .map(|it| Arc::new(serde_json::from_value(it).unwrap()))
            .collect()
    }

    /// Somebody takes the label away by which the operator finds the pod.
    pub(crate) fn unlabel(&self, ordinal: u32) {
        let path = path(&self.pods[&ordinal].name);
        let mut object = self.api.get(&path).unwrap();
        let labels = object["metadata"]["labels"].as_object_mut().unwrap();
        labels.remove(names::LABEL_REDIS);
        self.api.put(&path, object);
    }

    /// The events that were sent: reason and note, as often as they were.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        let all = self
            .api
            .all("/apis/events.k8s.io/v1/namespaces/test/events/")
            .into_iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let times = |it: &Value| usize::try_from(it["series"]["count"].as_u64().unwrap_or(1)).unwrap();
        all.flat_map(|it| vec![(text(&it["reason"]), text(&it["note"])); times(&it)])
            .collect()
    }

    /// Asks for something by an annotation of the resource, or takes it away.
    pub(crate) fn annotate(&self, name: &str, value: Option<&str>) {
        self.edit(|redis| {
            let all = &mut redis["metadata"]["annotations"];
            match value {
                Some(value) => all[name] = json!(value),
                None => drop(all.as_object_mut().unwrap().remove(name)),
            }
        });
    }

    /// The pod's `role` label.
    pub(crate) fn role(&self, ordinal: u32) -> Option<String> {
        let object = self.api.get(&path(&self.pods[&ordinal].name))?;
        object["metadata"]["labels"]["role"].as_str().map(str::to_owned)
    }

    /// The operator's password on every server.
    pub(crate) fn operator_password(&self) -> &str {
        &self.passwords.operator
    }

    /// An application's connection.
    pub(crate) fn application(&self, ordinal: u32) -> Client {
        Client::connect(self.pods[&ordinal].address())
    }

    /// A connection of the operator's user.
    pub(crate) fn as_operator(&self, ordinal: u32) -> Client {
        let mut client = self.application(ordinal);
        let reply = client.call(&["AUTH", names::USER_OPERATOR, self.operator_password()]);
        assert_eq!(reply, "OK");
        client
    }

    /// A setting of a server.
    pub(crate) fn set(&self, ordinal: u32, name: &str, value: &str) {
        assert_eq!(self.as_operator(ordinal).call(&["CONFIG", "SET", name, value]), "OK");
    }

    /// A field of a server's INFO.
    pub(crate) fn info(&self, ordinal: u32, field: &str) -> String {
        self.as_operator(ordinal).info(field).unwrap_or_default()
    }

    fn show(&self, ordinal: u32) {
        let pod = &self.pods[&ordinal];
        let path = path(&pod.name);
        let labels = self
            .api
            .get(&path)
            .map_or_else(|| json!({"redis": NAME}), |old| old["metadata"]["labels"].clone());
        self.api.put(&path, pod.object(&labels));
    }

    fn files(&self) -> Files {
        let inputs = Inputs {
            restarted: None,
            kept: None,
            passwords: &self.passwords,
            application_password: None,
            holder: "test",
            replicas: 1,
        };
        let built = build(&self.redis(), &inputs).unwrap();
        let auth = built.secret.data.unwrap().remove("auth.conf").unwrap();
        Files {
            redis_conf: built.config_map.data.unwrap().remove("redis.conf").unwrap(),
            auth_conf: String::from_utf8(auth.0).unwrap(),
        }
    }
}

/// The address that the slice names.
pub(crate) fn published(api: &FakeApi) -> Option<IpAddr> {
    let slice = api.get(SLICE)?;
    slice["endpoints"][0]["addresses"][0].as_str()?.parse().ok()
}

/// A client of the published master, if it can be reached.
pub(crate) fn of_master(api: &FakeApi) -> Option<Client> {
    Client::try_connect(SocketAddr::new(published(api)?, PORT))
}

/// How many pods carry `role=master`.
pub(crate) fn labelled_masters(objects: &[Arc<v1::Pod>]) -> usize {
    let labels = objects.iter().filter_map(|pod| pod.metadata.labels.as_ref());
    labels
        .filter(|it| it.get(names::LABEL_ROLE).is_some_and(|role| role == names::ROLE_MASTER))
        .count()
}

fn path(pod: &str) -> String {
    format!("/api/v1/namespaces/test/pods/{pod}")
}

fn spec(replicas: u32, disk: Disk) -> RedisSpec {
    let mut spec = RedisSpec::new("redis");
    spec.replicas = i32::try_from(replicas).unwrap();
    spec.storage = (disk != Disk::Memory).then(|| Storage::new("1Gi"));
    if disk == Disk::Rdb {
        spec.config.insert("appendonly".to_owned(), "no".to_owned());
    }
    spec
}
