//! A namespace of its own for each test, and the calls to the API server that tests repeat.

use crate::cluster::{API_LIMIT, Cluster};
use crate::subject::Subject;
use anyhow::{Context, Result, bail};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, Secret, Service};
use kube::api::{DeleteParams, ListParams, LogParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::{Api, Resource, ResourceExt};
use redis_operator_core::api::Redis;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Field manager of what the tests apply.
const FIELD_MANAGER: &str = "e2e";
/// How often a state is looked at that cannot be watched as one object.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// A namespace that passes Pod Security `restricted`.
#[derive(Clone)]
pub struct Space {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace.
    pub name: String,
}

impl Space {
    /// Creates the namespace.
    pub async fn create(cluster: &Cluster, name: &str) -> Result<Self> {
        let enforce = [("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())];
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(enforce.into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let api = Api::<Namespace>::all(cluster.client.clone());
        call(api.create(&PostParams::default(), &namespace)).await?;
        Ok(Self::existing(cluster, name))
    }

    /// A namespace that is there already.
    pub fn existing(cluster: &Cluster, name: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            name: name.to_owned(),
        }
    }

    /// Deletes the namespace; Kubernetes does so in its own time. What would disturb the next test goes at once: nothing
    /// comes back in a namespace that is being deleted, and no pod there has anything to hand over. Only a volume is not
    /// given back before whoever writes to it has ended.
    pub async fn delete(&self) -> Result<()> {
        let now = DeleteParams::default().grace_period(0);
        let all = ListParams::default();
        let api = Api::<Namespace>::all(self.cluster.client.clone());
        call(api.delete(&self.name, &DeleteParams::default())).await?;
        call(self.api::<Redis>().delete_collection(&DeleteParams::default(), &all)).await?;
        call(self.api::<Service>().delete_collection(&DeleteParams::default(), &all)).await?;
        let claims = call(self.api::<PersistentVolumeClaim>().list_metadata(&all)).await?;
        if claims.items.is_empty() {
            call(self.api::<Pod>().delete_collection(&now, &all)).await?;
        }
        Ok(())
    }

    /// Typed access to the objects of the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client.clone(), &self.name)
    }

    /// Untyped access to them.
    pub fn objects<K>(&self) -> Api<DynamicObject>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        let kind = ApiResource::erase::<K>(&K::DynamicType::default());
        Api::namespaced_with(self.cluster.client.clone(), &self.name, &kind)
    }

    /// Applies a Redis, as `kubectl apply` does; it may be refused.
    pub async fn apply(&self, name: &str, spec: Value) -> Result<Subject> {
        let redis = json!({
            "apiVersion": Redis::api_version(&()), "kind": Redis::kind(&()),
            "metadata": { "name": name }, "spec": spec,
        });
        // not as a Redis: what a test applies need not be one
        let api = self.objects::<Redis>();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        call(api.patch(name, &params, &Patch::Apply(redis))).await?;
        Ok(Subject::new(self, name))
    }

    /// Creates a Secret, or replaces what is in it.
    pub async fn secret(&self, name: &str, values: &[(&str, &str)]) -> Result<()> {
        let pairs = values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name }, "stringData": pairs.collect::<BTreeMap<_, _>>(),
        });
        // stringData only adds keys
        let api = self.api::<Secret>();
        if call(api.get_opt(name)).await?.is_some() {
            call(api.delete(name, &DeleteParams::default())).await?;
        }
        call(api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(secret))).await?;
        Ok(())
    }

    /// The log of a pod's container, its last lines.
    pub async fn log(&self, pod: &str, lines: i64) -> Result<String> {
        let params = LogParams {
            tail_lines: Some(lines),
            ..LogParams::default()
        };
        call(self.api::<Pod>().logs(pod, &params)).await
    }

    /// Objects with these labels.
    pub async fn list<K>(&self, selector: &str) -> Result<Vec<K>>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        Ok(call(self.api::<K>().list(&ListParams::default().labels(selector)))
            .await?
            .items)
    }

    /// Merges into an object.
    pub async fn merge<K>(&self, name: &str, patch: impl Serialize + Debug) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        let patch = Patch::Merge(patch);
        call(self.api::<K>().patch(name, &PatchParams::default(), &patch)).await
    }

    /// Deletes an object as it is now, with a grace in seconds if one is given.
    pub async fn remove<K>(&self, object: &K, grace: Option<u32>) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        let params = DeleteParams {
            grace_period_seconds: grace,
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        call(self.api::<K>().delete(&object.name_any(), &params)).await?;
        Ok(())
    }
}

/// A call to the API server, within its limit.
pub async fn call<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match timeout(API_LIMIT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => bail!("the API server did not answer within {API_LIMIT:?}"),
    }
}

/// Waits until a question is answered with yes. An error is the answer "not yet"; it is shown when time is up.
pub async fn until(what: &str, limit: Duration, mut asked: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let answer = asked().await;
        if let Ok(true) = answer {
            return Ok(());
        }
        if Instant::now() > deadline {
            answer.with_context(|| format!("waited {limit:?} for {what}"))?;
            bail!("waited {limit:?} for {what}");
        }
        sleep(LOOK).await;
    }
}
