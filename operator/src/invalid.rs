//! A resource that cannot be read: somebody wrote it past the schema. The others are served all the same.

use crate::controller::Context;
use crate::error::within;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;
use redis_operator_core::api::Redis;
use serde_json::{Value, json};

/// Says on the resource itself what is wrong. Nothing is done to its objects and servers; a change of the resource is
/// enough to go on.
pub async fn report(context: &Context, invalid: &InvalidObject) -> Action {
    let (namespace, name) = (invalid.metadata.namespace.as_deref(), invalid.metadata.name.as_deref());
    let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
    let kind = ApiResource::erase::<Redis>(&());
    let redises: Api<DynamicObject> = Api::namespaced_with(context.clients.calls.clone(), namespace, &kind);
    let read = within(context.args.api_limit, format!("read Redis {name}"), redises.get(name)).await;
    let named = read
        .ok()
        .and_then(|resource| fault(serde_json::to_value(resource).ok()?));
    let error = named.unwrap_or_else(|| invalid.error.clone());
    let full_name = format!("{namespace}/{name}");
    tracing::warn!(redis = full_name, error, "unreadable resource");
    let conditions = [("Ready", "False"), ("Stalled", "True")];
    context.metrics.conditions(&full_name, conditions);
    let message = format!("the resource cannot be read: {error}; correct that field");
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second())
        .unwrap_or_default()
        .to_string();
    let condition = |(kind, status): (&str, &str)| {
        json!({"type": kind, "status": status, "reason": "Unreadable", "message": message, "lastTransitionTime": now,
            "observedGeneration": invalid.metadata.generation})
    };
    let conditions = conditions.map(condition);
    let patch = Patch::Merge(json!({"status": {"summary": "Unreadable", "conditions": conditions}}));
    let params = PatchParams::default();
    let call = redises.patch_status(name, &params, &patch);
    if let Err(error) = within(
        context.args.api_limit,
        format!("write the status of Redis {name}"),
        call,
    )
    .await
    {
        tracing::warn!(%error, "could not say so on the resource");
    }
    Action::await_change()
}

/// The field that cannot be read, and why: the API machinery itself tells only the latter.
fn fault(resource: Value) -> Option<String> {
    serde_path_to_error::deserialize::<_, Redis>(resource)
        .err()
        .map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o05_the_field_is_named() {
        let with = |policy: &str| {
            json!({"apiVersion": "redis-operator.dev/v1alpha1", "kind": "Redis", "metadata": {"name": "a"},
                "spec": {"replicas": 3, "image": "redis", "policy": policy}})
        };
        let said = fault(with("Never")).unwrap();
        assert!(
            said.starts_with("spec.policy: ") && said.contains("Durability"),
            "{said}"
        );
        assert_eq!(fault(with("Durability")), None);
    }
}
