//! What is refused, with a sentence that names it.

use super::*;

#[test]
fn b01_absurd_names_and_counts_are_refused_past_the_schema_too() {
    for name in [
        "a-master",
        "a-replica",
        "a-headless",
        "",
        "-a",
        "a-",
        "A",
        "a.b",
        "a_b",
        "ä",
        &"x".repeat(46),
    ] {
        let refusal = build_with(&redis(name, RedisSpec::new("redis")), "").unwrap_err();
        assert_eq!(refusal.reason, Refusal::SPEC);
        assert!(refusal.message.contains("metadata.name"), "{refusal}");
    }
    for replicas in [0, -1, 1000, i32::MIN, i32::MAX] {
        let mut spec = RedisSpec::new("redis");
        spec.replicas = replicas;
        assert!(
            build_with(&redis("a", spec), "")
                .unwrap_err()
                .message
                .contains(&replicas.to_string())
        );
    }
    for (name, replicas) in [("a", 1), ("0", 20), (&*"x".repeat(45), 3)] {
        let mut spec = RedisSpec::new("redis");
        spec.replicas = replicas;
        assert!(build_with(&redis(name, spec), "").is_ok());
    }
}

#[test]
fn b03_an_owned_directive_refuses_the_whole_resource() {
    let mut spec = RedisSpec::new("redis");
    spec.config = [("ReplicaOf", "10.0.0.1 6379"), ("port", "1")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    let refusal = build_with(&redis("a", spec), "").unwrap_err();
    assert_eq!(refusal.reason, Refusal::CONFIG);
    assert!(refusal.message.contains("spec.config.ReplicaOf") && refusal.message.contains("spec.config.port"));
}

#[test]
fn labels_and_volumes_of_the_operator_cannot_be_taken() {
    for key in [
        "redis",
        "role",
        "app.kubernetes.io/name",
        "controller-revision-hash",
        "redis-operator.dev/x",
    ] {
        let mut spec = RedisSpec::new("redis");
        spec.pod_labels.insert(key.to_owned(), "x".to_owned());
        assert!(build_with(&redis("a", spec), "").unwrap_err().message.contains(key));
    }
    for name in names::VOLUMES {
        let mut spec = RedisSpec::new("redis");
        spec.volumes = vec![serde_json::from_value(json!({ "name": name, "emptyDir": {} })).unwrap()];
        assert!(build_with(&redis("a", spec), "").unwrap_err().message.contains(name));
    }
}
