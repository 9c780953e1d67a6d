//! What becomes of a Redis: every object of the files in `built/`, as it is written beside them. After a change that is
//! meant, `BUILT=write cargo test -p redis-operator-core --test built` writes them anew, to be read before they are kept.

#[cfg(test)]
mod yaml;

use kube::CustomResourceExt;
use redis_operator_core::api::Redis;
use redis_operator_core::credentials::Passwords;
use redis_operator_core::resources::{Inputs, Resources, build};
use serde_json::{Map, Value, json};
use std::env;
use std::fs;
use std::path::Path;

#[test]
fn every_field_of_every_object_is_as_it_was() {
    let all = yaml::documents("operator/core/tests/built");
    let (outcomes, inputs): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| name.contains(".objects."));
    assert_eq!(inputs.len(), 2);
    for (name, documents) in inputs {
        let built = built(serde_json::from_value(documents[0].clone()).unwrap());
        let name = name.replace(".yaml", ".objects.yaml");
        if env::var("BUILT").is_ok_and(|what| what == "write") {
            write(&name, &built);
            continue;
        }
        let (_, before) = outcomes.iter().find(|(other, _)| *other == name).unwrap();
        assert_eq!(before.len(), built.len());
        let found: Vec<_> = before.iter().zip(&built).flat_map(differences).collect();
        assert!(
            found.is_empty(),
            "{name}, was and is; BUILT=write if it is meant so:\n{}",
            found.join("\n")
        );
    }
}

/// What is not in it, or misspelt there, would not be seen to arrive.
#[test]
fn the_full_one_has_every_field_of_the_spec() {
    let crd = json!(Redis::crd());
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let all = yaml::documents("operator/core/tests/built");
    let (_, full) = all.iter().find(|(name, _)| name == "full.yaml").unwrap();
    let found = strange("spec", schema, &[&full[0]["spec"]]);
    assert!(found.is_empty(), "{found:#?}");
}

/// Of these are only the names known: what is in them is Kubernetes'.
#[cfg(test)]
const FOREIGN: [&str; 10] = [
    "affinity",
    "env",
    "podSecurityContext",
    "resources",
    "securityContext",
    "selector",
    "tolerations",
    "topologySpreadConstraints",
    "volumeMounts",
    "volumes",
];

/// Fields of the schema that none of the values has, and fields of theirs that it does not have.
#[cfg(test)]
fn strange(place: &str, schema: &Value, values: &[&Value]) -> Vec<String> {
    let items: Vec<&Value> = values
        .iter()
        .flat_map(|it| it.as_array().map_or(vec![*it], |all| all.iter().collect()))
        .collect();
    let schema = schema.get("items").unwrap_or(schema);
    let Some(fields) = schema["properties"].as_object() else {
        return vec![];
    };
    let mut found = vec![];
    for (name, inner) in fields {
        let place = format!("{place}.{name}");
        let there: Vec<&Value> = items.iter().filter_map(|it| it.get(name)).collect();
        if there.is_empty() {
            found.push(format!("{place} is missing"));
        } else if !FOREIGN.contains(&name.as_str()) {
            found.extend(strange(&place, inner, &there));
        }
    }
    let given = items.iter().filter_map(|it| it.as_object()).flatten();
    let unknown = given.filter(|(name, _)| !fields.contains_key(*name));
    found.extend(unknown.map(|(name, _)| format!("{place}.{name} is unknown")));
    found
}

#[cfg(test)]
fn built(mut redis: Redis) -> Vec<Value> {
    redis.metadata.namespace = Some("team".to_owned());
    redis.metadata.uid = Some("uid".to_owned());
    let inputs = Inputs {
        passwords: &Passwords::derive(b"key", "uid"),
        application_password: redis.spec.password.as_ref().map(|_| "x"),
        holder: "operator-1",
        restarted: Some("2026-01-01"),
        kept: None,
        replicas: redis.spec.replicas,
    };
    let Resources {
        config_map,
        mut secret,
        headless_service,
        service,
        master_service,
        replica_service,
        disruption_budget,
        stateful_set,
    } = build(&redis, &inputs).unwrap();
    // to be read by people
    let data = secret.data.take().unwrap_or_default();
    let text = data
        .into_iter()
        .map(|(key, value)| (key, Value::from(String::from_utf8(value.0).unwrap())));
    let text: Map<String, Value> = text.collect();
    let mut secret = json!(secret);
    secret["data"] = text.into();
    vec![
        json!(config_map),
        secret,
        json!(headless_service),
        json!(service),
        json!(master_service),
        json!(replica_service),
        json!(disruption_budget),
        json!(stateful_set),
    ]
}

/// The innermost fields that differ.
#[cfg(test)]
fn differences((before, now): (&Value, &Value)) -> Vec<String> {
    if before == now {
        return vec![];
    }
    let inner = |name: &str, sides: (&Value, &Value)| {
        let found = differences(sides).into_iter();
        found.map(|text| format!("{name}.{text}")).collect::<Vec<_>>()
    };
    match (before, now) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().flat_map(|(name, a)| inner(name, (a, &b[name]))).collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let both = a.iter().zip(b).enumerate();
            both.flat_map(|(n, sides)| inner(&n.to_string(), sides)).collect()
        }
        _ => vec![format!(" {before} → {now}")],
    }
}

#[cfg(test)]
fn write(name: &str, objects: &[Value]) {
    let texts: Vec<String> = objects
        .iter()
        .map(|object| serde_saphyr::to_string(object).unwrap())
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/built").join(name);
    fs::write(path, texts.join("---\n")).unwrap();
}
