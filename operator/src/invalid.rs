//! A resource that cannot be read: somebody wrote it past the schema. The others are served all the same.

use crate::controller::Context;
use crate::error::within;
use crate::pass::AFTER_FAILURE;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;
use redis_operator_core::api::Redis;
use serde_json::{Value, json};

/// What is known of it: whether a master takes writes nobody looks at any more.
const KNOWN: [(&str, &str); 3] = [("Ready", "False"), ("Stalled", "True"), ("Available", "Unknown")];

/// Says on the resource itself what is wrong. Nothing is done to its objects and servers; a change of the resource is
/// enough to go on.
pub async fn report(context: &Context, invalid: &InvalidObject) -> Action {
    let (namespace, name) = (invalid.metadata.namespace.as_deref(), invalid.metadata.name.as_deref());
    let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
    let kind = ApiResource::erase::<Redis>(&());
    let redises: Api<DynamicObject> = Api::namespaced_with(context.clients.calls.clone(), namespace, &kind);
    let read = within(context.args.api_limit, format!("read Redis {name}"), redises.get(name)).await;
    let full_name = format!("{namespace}/{name}");
    context.metrics.conditions(&full_name, KNOWN);
    let Some(found) = read.ok().and_then(|resource| serde_json::to_value(resource).ok()) else {
        return Action::requeue(AFTER_FAILURE);
    };
    let error = fault(found.clone()).unwrap_or_else(|| invalid.error.clone());
    let message = format!("the resource cannot be read: {error}; correct that field");
    let before = found.get("status").cloned().unwrap_or_default();
    let status = status(&before, invalid.metadata.generation, &message);
    let mut after = before.clone();
    json_patch::merge(&mut after, &status);
    if after == before {
        return Action::await_change();
    }
    tracing::warn!(redis = full_name, error, "unreadable resource");
    let patch = Patch::Merge(json!({ "status": status }));
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

/// What the status says from now on; what else was said stays. A transition time changes with its condition's status alone.
fn status(before: &Value, generation: Option<i64>, message: &str) -> Value {
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default();
    let before = before.get("conditions").and_then(Value::as_array);
    let is = |it: &Value, key: &str, value: &str| it.get(key).and_then(Value::as_str) == Some(value);
    let condition = |(type_, status): (&str, &str)| {
        let mut all = before.into_iter().flatten();
        let same = all.find(|it| is(it, "type", type_) && is(it, "status", status));
        let since = same.and_then(|it| it.get("lastTransitionTime").cloned());
        json!({"type": type_, "status": status, "reason": "Unreadable", "message": message,
            "lastTransitionTime": since.unwrap_or_else(|| json!(now)), "observedGeneration": generation})
    };
    let others = before.into_iter().flatten();
    let others = others.filter(|it| !KNOWN.iter().any(|(type_, _)| is(it, "type", type_)));
    let conditions: Vec<_> = KNOWN.map(condition).into_iter().chain(others.cloned()).collect();
    json!({"observedGeneration": generation, "summary": "Unreadable", "conditions": conditions})
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

    #[test]
    fn o05_the_status_is_of_this_generation_and_keeps_what_still_holds() {
        let then = "2026-01-31T12:00:00Z";
        let condition = |type_: &str, status: &str| {
            json!({"type": type_, "status": status, "reason": "r", "message": "m", "lastTransitionTime": then,
                "observedGeneration": 3})
        };
        let kept = condition("Paused", "False");
        let conditions = [condition("Ready", "True"), condition("Available", "True"), kept.clone()];
        let before = json!({"conditions": conditions, "master": "redis-a-0"});
        let first = status(&before, Some(4), "correct it");
        assert_eq!(first["observedGeneration"], 4);
        let named = |status: &Value, type_: &str| {
            let all = status["conditions"].as_array().unwrap();
            all.iter().find(|it| it["type"] == type_).unwrap().clone()
        };
        for (type_, is) in [("Ready", "False"), ("Stalled", "True"), ("Available", "Unknown")] {
            let it = named(&first, type_);
            assert_eq!(
                (&it["status"], &it["reason"]),
                (&json!(is), &json!("Unreadable")),
                "{type_}"
            );
            assert_eq!(
                (&it["message"], &it["observedGeneration"]),
                (&json!("correct it"), &json!(4))
            );
            assert_ne!(it["lastTransitionTime"], then, "{type_}");
        }
        assert_eq!(named(&first, "Paused"), kept);
        // told again, of another generation: nothing has turned
        let mut before = first;
        for condition in before["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = json!(then);
        }
        let again = status(&before, Some(5), "correct it");
        for condition in again["conditions"].as_array().unwrap() {
            assert_eq!(condition["lastTransitionTime"], then, "{condition}");
        }
        assert_eq!(
            status(&Value::Null, None, "m")["conditions"].as_array().unwrap().len(),
            3
        );
    }
}
