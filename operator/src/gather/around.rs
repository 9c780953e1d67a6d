//! A resource as the caches, the API server and its servers show it.

use super::{Pods, Source, Wanted};
use crate::controller::Context;
use crate::departed;
use crate::error::Error;
use crate::image::{MastersImage, obstacle};
use crate::missing;
use crate::pods::Owner;
use crate::resource::Resource;
use crate::watch::Watch;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use redis_operator_core::annotations::{self, Asked};
use redis_operator_core::api::{Redis, priority};
use redis_operator_core::config;
use redis_operator_core::names;
use redis_operator_core::observed::{Desired, Moment, Slice};
use redis_operator_core::record::{Found, Record};
use redis_operator_core::resources::revision;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A resource and everything around it.
pub struct Around<'a> {
    /// What every resource shares.
    pub context: &'a Context,
    /// What is held of this one.
    pub resource: &'a Resource,
    /// The resource as the cache shows it.
    pub redis: &'a Redis,
    /// What its recorded master was seen to run.
    pub masters_image: &'a mut Option<MastersImage>,
}

impl Source for Around<'_> {
    type Watch = Watch;

    fn watch(&self) -> &Watch {
        &self.resource.watch
    }

    fn holder(&self) -> &str {
        &self.context.session.holder
    }

    async fn record(&self) -> Result<Found, Error> {
        self.resource.cluster.record(self.redis).await
    }

    async fn reread(&self) -> Result<Found, Error> {
        self.resource.cluster.reread().await
    }

    async fn slice(&self) -> Result<Option<Slice>, Error> {
        let name = names::master_service(&self.resource.name);
        let slice = ObjectRef::<EndpointSlice>::new(&name).within(&self.resource.namespace);
        let slice = self.context.mirrors.slices.get(&slice);
        self.resource.cluster.slice(slice.as_deref()).await
    }

    fn labelled(&self) -> Vec<Arc<Pod>> {
        let Resource { namespace, name, .. } = self.resource;
        self.context.mirrors.pods_of(namespace, name)
    }

    async fn existing(&self, pods: &BTreeMap<String, String>) -> Result<Vec<Arc<Pod>>, Error> {
        let (client, limit) = (&self.context.clients.calls, self.context.args.api_limit);
        missing::existing(client, &self.resource.namespace, pods, limit).await
    }

    fn pods(&self, all: Vec<Arc<Pod>>, record: Option<&Record>) -> Pods {
        let Resource { namespace, name, .. } = self.resource;
        let mirrors = &self.context.mirrors;
        let set = ObjectRef::<StatefulSet>::new(&names::object(name)).within(namespace);
        let set = mirrors.stateful_sets.get(&set);
        Pods::of(self, all, set, &mirrors.nodes, record)
    }

    fn desired(&mut self, pods: &Pods, record: Option<&Record>) -> Desired {
        let wanted = desired(self.redis);
        Desired {
            durable: wanted.durable && leave_what_is_read(&pods.all, self.redis),
            incompatible: obstacle(self.masters_image, pods.set.as_deref(), &pods.all, record, self.redis),
            restarted: pods.restarted.clone(),
            ..wanted
        }
    }

    fn nodes(&self) -> Store<Node> {
        self.context.mirrors.nodes.clone()
    }

    async fn renewed(&self, nodes: &BTreeSet<String>) -> Vec<(String, Timestamp)> {
        departed::renewed(&self.context.clients.calls, nodes, self.context.args.api_limit).await
    }

    fn now(&self) -> Moment {
        self.context.clock.now()
    }

    fn clock(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl Wanted for Around<'_> {
    fn owner(&self) -> Owner<'_> {
        Owner::of(self.redis)
    }

    fn revision(&self, restarted: Option<&str>) -> String {
        revision(&self.redis.spec, restarted)
    }

    fn priority(&self, ordinal: u32, node: Option<&Node>) -> Option<u32> {
        priority(&self.redis.spec.priorities, ordinal, node.map(Node::labels))
    }
}

/// A pod in the place of any of these would begin with its data.
fn leave_what_is_read(pods: &[Arc<Pod>], redis: &Redis) -> bool {
    let conf = config::render(&redis.spec);
    let read = config::persistence(&conf);
    let written = |pod: &Pod| {
        let conf = pod.annotations().get(names::ANNOTATION_CONFIG);
        conf.is_some_and(|conf| config::persistence(conf) == read)
    };
    pods.iter().all(|pod| written(pod))
}

/// What the user asked for, as far as decisions depend on it.
pub fn desired(redis: &Redis) -> Desired {
    let Asked {
        switchover,
        restart,
        paused,
        nonsense,
    } = annotations::read(redis.annotations());
    Desired {
        switchover,
        restart,
        paused,
        nonsense,
        replicas: u32::try_from(redis.spec.replicas).unwrap_or_default(),
        policy: redis.spec.policy,
        down_after: redis.spec.down_after(),
        volumes: redis.spec.storage.is_some(),
        durable: config::outlives(&redis.spec),
        incompatible: None,
        restarted: None,
        deleting: redis.metadata.deletion_timestamp.is_some(),
        elect: redis.annotations().get(names::ANNOTATION_ELECT).cloned(),
        ended: redis
            .annotations()
            .get(names::ANNOTATION_ENDED)
            .into_iter()
            .flat_map(|all| all.split(','))
            .map(|run_id| run_id.trim().to_owned())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis_operator_core::api::{RedisSpec, Storage};
    use serde_json::json;

    /// A roll replaces an only pod where it is only if its data is there for the next one.
    #[test]
    fn r04_a_volume_that_nothing_is_written_to_keeps_nothing() {
        let mut spec = RedisSpec::new("redis:7.0");
        spec.storage = Some(Storage::new("1Gi"));
        let kept = |spec: &RedisSpec| {
            let desired = desired(&Redis::new("a", spec.clone()));
            (desired.volumes, desired.durable)
        };
        assert_eq!(kept(&spec), (true, true));
        for (key, value) in [("appendonly", "no"), ("save", "")] {
            spec.config.insert(key.to_owned(), value.to_owned());
        }
        assert_eq!(kept(&spec), (true, false));
    }

    /// The next server would look for files that this one never wrote.
    #[test]
    fn r04_another_way_to_write_data_down_keeps_nothing_of_the_way_before() {
        let with = |config: &[(&str, &str)]| {
            let mut spec = RedisSpec::new("redis:7.0");
            spec.storage = Some(Storage::new("1Gi"));
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            spec.config = config.iter().map(own).collect();
            Redis::new("a", spec)
        };
        let made_for = |redis: &Redis| -> Pod {
            let annotations = json!({ names::ANNOTATION_CONFIG: config::render(&redis.spec) });
            serde_json::from_value(json!({ "metadata": { "annotations": annotations } })).unwrap()
        };
        let leaves_what_is_read = |pod: &Pod, redis: &Redis| leave_what_is_read(&[Arc::new(pod.clone())], redis);
        let log = with(&[]);
        let pod = made_for(&log);
        assert!(leaves_what_is_read(&pod, &log));
        assert!(leaves_what_is_read(&pod, &with(&[("maxmemory", "1gb")])));
        for other in [
            with(&[("appendonly", "no")]),
            with(&[("appendonly", "no"), ("save", "60 1")]),
            with(&[("appenddirname", "elsewhere")]),
        ] {
            assert!(!leaves_what_is_read(&pod, &other));
            assert!(!leaves_what_is_read(&made_for(&other), &log));
        }
        let unknown: Pod = serde_json::from_value(json!({ "metadata": {} })).unwrap();
        assert!(!leaves_what_is_read(&unknown, &log));
    }
}
