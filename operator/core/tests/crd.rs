//! The CustomResourceDefinition as a whole: what `kubectl apply` and the API server need of it.

use kube::CustomResourceExt;
use redis_operator_core::api::{Redis, RedisSpec};
use serde_json::{Value, json};

#[cfg(test)]
fn schema() -> Value {
    json!(Redis::crd().spec.versions[0].schema)["openAPIV3Schema"].clone()
}

/// Every schema in a schema.
fn walk(place: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(place, schema);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{place}.{name}"), inner, visit);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            walk(&format!("{place}.{inner}"), &schema[inner], visit);
        }
    }
}

#[test]
fn it_fits_into_the_annotation_of_kubectl_apply() {
    let limit = 262_144;
    let size = serde_json::to_string(&Redis::crd()).unwrap().len();
    assert!(size < 200_000, "{size} bytes; kubectl apply fails above {limit}");
}

#[test]
fn it_has_the_names_that_users_type() {
    let names = Redis::crd().spec.names;
    assert_eq!(
        (names.plural.as_str(), names.singular.as_deref()),
        ("redis", Some("redis"))
    );
    assert_eq!(names.short_names, Some(vec!["rd".to_owned()]));
    let version = &Redis::crd().spec.versions[0];
    let columns: Vec<_> = version
        .additional_printer_columns
        .iter()
        .flatten()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(columns, ["Master", "Ready", "Replicas", "Status", "Age"]);
    let subresources = version.subresources.clone().unwrap();
    assert!(subresources.status.is_some());
    let scale = subresources.scale.unwrap();
    assert_eq!(
        (
            scale.spec_replicas_path.as_str(),
            scale.status_replicas_path.as_str(),
            scale.label_selector_path.as_deref()
        ),
        (".spec.replicas", ".status.replicas", Some(".status.selector"))
    );
}

/// `kubectl scale` changes the field of the scale subresource's path; what it makes of it is admitted like any other spec.
#[test]
fn b01_scaling_to_nothing_is_refused_with_a_sentence() {
    let scale = Redis::crd().spec.versions[0]
        .subresources
        .clone()
        .unwrap()
        .scale
        .unwrap();
    let replicas = scale.spec_replicas_path.trim_start_matches('.').split('.');
    let field = replicas.fold(schema(), |schema, name| schema["properties"][name].clone());
    assert_eq!(field["type"], "integer");
    let rule = json!({
        "rule": "self >= 1 && self <= 20",
        "message": "replicas must be from 1 to 20: it counts all data pods, the master included",
    });
    let rules = field["x-kubernetes-validations"].as_array().unwrap();
    let refuses = |it: &Value| it["message"] == rule["message"] && it["rule"] == rule["rule"];
    assert!(rules.iter().any(refuses), "{rules:?}");
}

#[test]
fn numbers_are_integers_and_everything_of_ours_is_described() {
    walk("", &schema(), &mut |place, schema| {
        assert_ne!(schema["type"], "number", "{place}");
        if schema["type"] == "integer" {
            assert!(
                ["int32", "int64"].contains(&schema["format"].as_str().unwrap()),
                "{place}: {}",
                schema["format"]
            );
        }
        let depth = place.matches('.').count();
        if depth <= 2 && !place.is_empty() && !place.contains("additionalProperties") {
            assert!(schema["description"].is_string(), "{place} has no description");
        }
    });
}

#[test]
fn rules_answer_in_sentences() {
    let mut rules = 0;
    walk("", &schema(), &mut |place, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules += 1;
            let says = rule["message"]
                .as_str()
                .or(rule["messageExpression"].as_str())
                .unwrap_or_default();
            assert!(says.split(' ').count() > 5, "{place}: {rule}");
        }
    });
    assert!(rules > 15, "{rules}");
}

#[test]
fn defaults_of_the_schema_are_those_of_the_code() {
    let spec: RedisSpec = serde_json::from_value(json!({ "image": "redis" })).unwrap();
    assert_eq!(spec, RedisSpec::new("redis"));
    let properties = &schema()["properties"]["spec"]["properties"];
    let code = json!(spec);
    for (name, property) in properties.as_object().unwrap() {
        if let Some(default) = property.get("default") {
            assert_eq!(default, &code[name], "{name}");
        }
    }
    for name in [
        "replicas",
        "downAfter",
        "policy",
        "applicationCommands",
        "securityContext",
        "podSecurityContext",
    ] {
        assert!(
            properties[name].get("default").is_some(),
            "{name} has no default in the schema"
        );
    }
    assert_eq!(schema()["properties"]["spec"]["required"], json!(["image"]));
}

#[test]
fn lists_of_the_status_can_be_applied_by_key() {
    let status = &schema()["properties"]["status"]["properties"];
    for (list, key) in [("conditions", "type"), ("instances", "pod")] {
        assert_eq!(status[list]["x-kubernetes-list-type"], "map");
        assert_eq!(status[list]["x-kubernetes-list-map-keys"], json!([key]));
        assert!(
            status[list]["items"]["required"]
                .as_array()
                .unwrap()
                .contains(&json!(key))
        );
    }
    assert_eq!(status["record"]["x-kubernetes-preserve-unknown-fields"], true);
}

#[test]
fn any_part_of_a_status_is_a_status() {
    let schema = schema();
    let status = &schema["properties"]["status"];
    assert_eq!(status.get("required"), None);
    assert_eq!(status["properties"]["lastFailover"].get("required"), None);
    let empty: redis_operator_core::api::RedisStatus = serde_json::from_value(json!({})).unwrap();
    assert_eq!(json!(empty), json!({}));
}
