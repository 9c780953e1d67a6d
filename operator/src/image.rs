//! What the recorded master runs, against the image that is wanted.

use crate::pods;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use redis_operator_core::api::Redis;
use redis_operator_core::record::Record;
use redis_operator_core::version;
use std::sync::Arc;

/// What the StatefulSet says of it, for a leader that never saw the master's pod: one drain may take that pod and the
/// leader before together.
const ANNOTATION: &str = "redis-operator.dev/masters-image";

/// The image of the recorded master's server.
pub struct MastersImage {
    pod: String,
    image: String,
}

impl MastersImage {
    fn noted(set: &StatefulSet) -> Option<Self> {
        let (pod, image) = set.annotations().get(ANNOTATION)?.split_once(' ')?;
        Some(Self {
            pod: pod.to_owned(),
            image: image.to_owned(),
        })
    }

    /// Writes it down.
    pub fn note(&self, set: &mut StatefulSet) {
        let text = format!("{} {}", self.pod, self.image);
        set.annotations_mut().insert(ANNOTATION.to_owned(), text);
    }
}

/// Why servers of the wanted image cannot follow the master. What another one runs does not matter: it may be the one for
/// whose sake the change is taken back. `known` is what the master's pod was seen to run, by this leader or by the one that wrote
/// `set`: when that pod is gone its data is not, and just then pods are made anew.
pub fn obstacle(
    known: &mut Option<MastersImage>,
    set: Option<&StatefulSet>,
    pods: &[Arc<Pod>],
    record: Option<&Record>,
    redis: &Redis,
) -> Option<String> {
    let master = &record?.master.as_ref()?.uid;
    let pod = pods.iter().find(|pod| pod.uid().as_ref() == Some(master));
    if let Some(image) = pod.and_then(|pod| pods::image(pod)) {
        *known = Some(MastersImage {
            pod: master.clone(),
            image: image.clone(),
        });
    }
    if known.is_none() {
        *known = set.and_then(MastersImage::noted);
    }
    let known = known.as_ref().filter(|known| known.pod == *master)?;
    version::obstacle(&known.image, &redis.spec.image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis_operator_core::api::RedisSpec;
    use serde_json::json;

    /// An eviction makes a pod anew as soon as the old one is gone, long before another one is master.
    #[test]
    fn r05_what_the_master_ran_counts_when_its_pod_is_gone() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "redis-a-0", "uid": "u" },
            "spec": { "containers": [{ "name": "redis", "image": "redis:7.2" }] },
        }))
        .unwrap();
        let process = |uid: &str| json!({ "pod": "redis-a-0", "uid": uid, "runId": "r", "address": "" });
        let record = |uid: &str| -> Record {
            let mut record = Record::first("me");
            record.master = Some(serde_json::from_value(process(uid)).unwrap());
            record
        };
        let (mut known, mut set) = (None, StatefulSet::default());
        let mut refused = |pods: &[Arc<Pod>], master: &str, image: &str| {
            let redis = Redis::new("a", RedisSpec::new(image));
            obstacle(&mut known, None, pods, Some(&record(master)), &redis).is_some()
        };
        assert!(!refused(&[], "u", "redis:7.0"));
        let pods = [Arc::new(pod)];
        assert!(refused(&pods, "u", "redis:7.0"));
        assert!(refused(&[], "u", "redis:7.0"));
        assert!(!refused(&[], "u", "redis:7.4"));
        assert!(!refused(&[], "another", "redis:7.0"));
        // one drain takes the pod and the leader: the next one has seen neither
        known.unwrap().note(&mut set);
        let refused = |master: &str, set: &StatefulSet| {
            let redis = Redis::new("a", RedisSpec::new("redis:7.0"));
            obstacle(&mut None, Some(set), &[], Some(&record(master)), &redis).is_some()
        };
        assert!(refused("u", &set));
        assert!(!refused("another", &set));
        assert!(!refused("u", &StatefulSet::default()));
    }
}
