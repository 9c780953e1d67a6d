//! Telling what was applied from what exists.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::{Map, Value};

use super::quantity;
use crate::{credentials, names};

/// Fields whose absence does not mean zero: to find them missing is a difference even if zero is desired.
const NOT_ZERO_IF_ABSENT: [&str; 6] = [
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "readOnlyRootFilesystem",
    "replicas",
    "runAsNonRoot",
];
/// Maps in which a foreign entry changes what we asked for.
const EXACT: [&str; 3] = ["selector", "matchLabels", "nodeSelector"];
/// Maps of quantities, and single ones, which the API server writes in its own way.
const QUANTITIES: [&str; 4] = ["limits", "requests", "sizeLimit", "divisor"];

/// The object with the hash of its own content, before the hash, in the annotation [`names::ANNOTATION_APPLIED`].
pub(super) fn sealed<K>(mut object: K) -> K
where
    K: Serialize + k8s_openapi::Metadata<Ty = ObjectMeta>,
{
    // these types cannot fail to serialize; if one did, the fields would still be compared
    let text = serde_json::to_string(&object).unwrap_or_default();
    let hash = credentials::sha256(&text).chars().take(16).collect();
    object
        .metadata_mut()
        .annotations
        .get_or_insert_default()
        .insert(names::ANNOTATION_APPLIED.to_owned(), hash);
    object
}

/// Whether the live object has to be applied again: something that we desire is not there, or not as we desire it.
///
/// What we do not mention is not ours: defaults that the API server fills in and foreign labels and annotations are no
/// difference. A field that a newer operator stopped mentioning is, by the hash of what was applied. Lists must
/// correspond element by element.
pub fn differs(desired: &Value, live: &Value) -> bool {
    !contains("", live, desired)
}

fn contains(key: &str, live: &Value, desired: &Value) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            if EXACT.contains(&key) && live.keys().any(|key| !desired.contains_key(key)) {
                return false;
            }
            desired
                .iter()
                .all(|(name, value)| member(child(key, name), live, name, value))
        }
        (Value::Array(desired), Value::Array(live)) => {
            desired.len() == live.len()
                && desired
                    .iter()
                    .zip(live)
                    .all(|(desired, live)| contains(key, live, desired))
        }
        _ => desired == live || (QUANTITIES.contains(&key) && quantity::equal(desired, live)),
    }
}

/// What a value is called for the tables above: a quantity in `limits` is one whatever its own name.
fn child<'a>(parent: &'a str, name: &'a str) -> &'a str {
    if QUANTITIES.contains(&parent) { parent } else { name }
}

fn member(key: &str, live: &Map<String, Value>, name: &str, desired: &Value) -> bool {
    match live.get(name) {
        Some(live) => contains(key, live, desired),
        None => zero(desired) && !NOT_ZERO_IF_ABSENT.contains(&key),
    }
}

/// What the API server may leave out when it writes an object.
fn zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// What an API server adds: defaults, foreign labels, status.
    fn adorned(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut map: Map<_, _> = map.iter().map(|(key, value)| (key.clone(), adorned(value))).collect();
                map.insert("added by the server".to_owned(), json!("x"));
                Value::Object(map)
            }
            Value::Array(list) => list.iter().map(adorned).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_applied_is_no_drift_whatever_the_server_adds(desired in any_json()) {
            prop_assert!(!differs(&desired, &desired));
            prop_assert!(!differs(&desired, &adorned(&desired)));
        }

        #[test]
        fn any_other_value_is_drift(desired in any_json(), live in any_json()) {
            // what is within each other differs at most in what may be left out
            if !differs(&desired, &live) && !differs(&live, &desired) {
                prop_assert_eq!(pruned(&desired), pruned(&live));
            }
        }
    }

    fn pruned(value: &Value) -> Value {
        match value {
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| (key.clone(), pruned(value)))
                .filter(|(_, value)| !zero(value))
                .collect(),
            Value::Array(list) => list.iter().map(pruned).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    #[test]
    fn edits_are_drift() {
        let desired = json!({ "spec": { "replicas": 3, "selector": { "redis": "a" }, "ports": [{ "port": 6379 }] } });
        for live in [
            json!({ "spec": { "replicas": 4, "selector": { "redis": "a" }, "ports": [{ "port": 6379 }] } }),
            json!({ "spec": { "selector": { "redis": "a" }, "ports": [{ "port": 6379 }] } }),
            json!({ "spec": { "replicas": 3, "selector": { "redis": "a", "x": "y" }, "ports": [{ "port": 6379 }] } }),
            json!({ "spec": { "replicas": 3, "selector": { "redis": "a" }, "ports": [{ "port": 6380 }] } }),
            json!({ "spec": { "replicas": 3, "selector": { "redis": "a" }, "ports": [{ "port": 6379 }, { "port": 1 }] } }),
            json!({ "spec": { "replicas": 3, "selector": { "redis": "a" } } }),
            json!({ "spec": "x" }),
            json!({}),
            json!(null),
        ] {
            assert!(differs(&desired, &live), "{live}");
        }
    }

    #[test]
    fn a_selector_of_the_master_service_is_drift() {
        let desired = json!({ "spec": { "selector": {} } });
        assert!(!differs(&desired, &json!({ "spec": {} })));
        assert!(differs(&desired, &json!({ "spec": { "selector": { "redis": "a" } } })));
    }

    #[test]
    fn quantities_are_compared_as_amounts_and_only_they() {
        let desired = json!({ "limits": { "cpu": "0.5", "memory": "1024Mi" }, "requests": { "storage": "1Gi" } });
        assert!(!differs(
            &desired,
            &json!({ "limits": { "cpu": "500m", "memory": "1Gi" }, "requests": { "storage": "1Gi" } })
        ));
        assert!(differs(
            &desired,
            &json!({ "limits": { "cpu": "501m", "memory": "1Gi" }, "requests": { "storage": "1Gi" } })
        ));
        assert!(differs(&json!({ "name": "1Gi" }), &json!({ "name": "1024Mi" })));
    }

    #[test]
    fn a_field_whose_absence_means_yes_must_be_there() {
        assert!(differs(&json!({ "enableServiceLinks": false }), &json!({})));
        assert!(!differs(&json!({ "readOnly": false, "value": "" }), &json!({})));
    }
}
