//! Pods that the record names and no mirror shows: gone, or there all the same.
//!
//! A mirror holds what carries the operator's labels, and labels can be taken from a pod whose process lives: by a chart that
//! claims it, by a person who sets it aside. So before such a pod counts as gone the API server is asked, and before the
//! operator looks away from one it gives the labels back.

use crate::controller::Context;
use crate::converge::is_left_alone;
use crate::error::{Error, within};
use crate::events::Kind;
use crate::resource::Resource;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use redis_operator_core::observed::Observed;
use redis_operator_core::status::Trouble;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Of these pods, names by uid, those that exist, read with a quorum and all at once. Another pod of that name is another
/// pod.
///
/// # Errors
/// One could not be read: nothing is known of it then, neither that it lives nor that it is gone.
pub async fn existing(
    client: &Client,
    namespace: &str,
    pods: &BTreeMap<String, String>,
    limit: Duration,
) -> Result<Vec<Arc<Pod>>, Error> {
    let api: &Api<Pod> = &Api::namespaced(client.clone(), namespace);
    let reads = pods.iter().map(|(uid, name)| async move {
        // a list of one, for lists of pods are what the operator has the right to
        let params = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = within(limit, format!("read pod {name}"), api.list(&params)).await?;
        let same = |pod: &Pod| pod.metadata.uid.as_ref() == Some(uid);
        Ok(found.items.into_iter().find(same).map(Arc::new))
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

/// Gives pods on record their labels back, without which Services, the StatefulSet and the operator lose sight of them.
/// What stays wrong is told.
pub async fn label(
    context: &Context,
    resource: &Resource,
    strays: &[Arc<Pod>],
    redis: &Redis,
    seen: &Observed,
) -> Vec<Trouble> {
    let record = seen.record.record();
    let holds = record.is_some_and(|record| record.holder == context.session.holder);
    if is_left_alone(seen) || !holds {
        return vec![];
    }
    let mut troubles = vec![];
    for pod in strays.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let name = pod.name_any();
        match give_back(&context.clients.calls, pod, &resource.name, context.args.api_limit).await {
            Ok(lost) if lost.is_empty() => {}
            Ok(lost) => {
                let note = format!("{name} had lost its labels {}: they are back", lost.join(", "));
                tracing::warn!(redis = resource.name, note);
                context
                    .events
                    .tell(redis, Kind::Warning, "LabelsRestored", "Label", note);
            }
            // it changed, or went, since it was read
            Err(error) if error.is_conflict() || error.is_absent() => {}
            Err(error) => troubles.push(Trouble {
                reason: "LabelsLost".to_owned(),
                message: format!(
                    "{name} runs a server of this Redis and has lost labels, and they cannot be set again: {error}. Has the operator its rights (manifests/20-rbac.yaml), and does a webhook refuse? It is tried again"
                ),
            }),
        }
    }
    troubles
}

/// Sets the labels that the pod lacks, and names them.
async fn give_back(client: &Client, pod: &Pod, redis: &str, limit: Duration) -> Result<Vec<String>, Error> {
    let mut lost = names::labels(redis);
    lost.retain(|key, value| pod.labels().get(key) != Some(value));
    if lost.is_empty() {
        return Ok(vec![]);
    }
    let (name, keys) = (pod.name_any(), lost.keys().cloned().collect());
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let meta = json!({ "uid": pod.uid(), "resourceVersion": pod.resource_version(), "labels": lost });
    let (params, patch) = (PatchParams::default(), Patch::Merge(json!({ "metadata": meta })));
    let call = api.patch_metadata(&name, &params, &patch);
    within(limit, format!("label pod {name}"), call).await.map(|_| keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_api::FakeApi;
    use serde_json::Value;

    const LIMIT: Duration = Duration::from_secs(60);

    fn path(name: &str) -> String {
        format!("/api/v1/namespaces/n/pods/{name}")
    }

    fn pod(name: &str, uid: &str, labels: &Value) -> Value {
        json!({ "metadata": { "name": name, "namespace": "n", "uid": uid, "labels": labels } })
    }

    fn wanted(name: &str, uid: &str) -> BTreeMap<String, String> {
        [(uid.to_owned(), name.to_owned())].into()
    }

    #[tokio::test]
    async fn a_pod_is_gone_only_if_the_api_server_says_so() {
        let api = FakeApi::default();
        let client = api.client();
        let count = async |uid: &str| {
            let read = existing(&client, "n", &wanted("redis-a-0", uid), LIMIT).await;
            read.map(|all| all.len()).map_err(|error| error.label())
        };
        assert_eq!(count("u").await, Ok(0));
        api.put(&path("redis-a-0"), pod("redis-a-0", "u", &json!({})));
        assert_eq!(count("u").await, Ok(1));
        assert_eq!(count("another").await, Ok(0));
        api.away(true);
        assert_eq!(count("u").await, Err("server"));
    }

    #[tokio::test]
    async fn labels_are_given_back_to_this_very_pod_and_no_others_are_touched() {
        let api = FakeApi::default();
        let client = api.client();
        let labels = json!({ names::LABEL_MANAGED_BY: "Helm", "role": "master", "mine": "x" });
        api.put(&path("redis-a-0"), pod("redis-a-0", "u", &labels));
        let found = existing(&client, "n", &wanted("redis-a-0", "u"), LIMIT).await.unwrap();
        let lost = give_back(&client, &found[0], "a", LIMIT).await.unwrap();
        assert!(lost.contains(&names::LABEL_MANAGED_BY.to_owned()) && lost.contains(&names::LABEL_REDIS.to_owned()));
        let mut expected = json!(names::labels("a"));
        (expected["role"], expected["mine"]) = (json!("master"), json!("x"));
        assert_eq!(api.get(&path("redis-a-0")).unwrap()["metadata"]["labels"], expected);
        // as it was read before: somebody wrote since
        assert!(
            give_back(&client, &found[0], "a", LIMIT)
                .await
                .unwrap_err()
                .is_conflict()
        );
        let found = existing(&client, "n", &wanted("redis-a-0", "u"), LIMIT).await.unwrap();
        api.writes();
        assert_eq!(
            give_back(&client, &found[0], "a", LIMIT).await.unwrap(),
            Vec::<String>::new()
        );
        assert_eq!(api.writes(), Vec::<String>::new());
    }
}
