//! Each file of examples/ is parsed and built.

#[cfg(test)]
mod yaml;

use redis_operator_core::api::Redis;
use redis_operator_core::credentials::Passwords;
use redis_operator_core::resources::{Inputs, build};
use yaml::documents;

#[test]
fn each_example_is_understood_whole_and_built() {
    let files = documents("examples");
    assert!(files.len() >= 5, "{}", files.len());
    for (file, documents) in files {
        let mut found = 0;
        for document in documents.into_iter().filter(|document| document["kind"] == "Redis") {
            found += 1;
            let mut redis: Redis =
                serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
            // a field that we do not know would be dropped silently
            let known = serde_json::to_value(&redis.spec).unwrap();
            for (key, value) in document["spec"].as_object().unwrap() {
                assert!(yaml::within(value, &known[key]), "{file}: spec.{key}");
            }
            redis.metadata.namespace = Some("default".to_owned());
            redis.metadata.uid = Some("uid".to_owned());
            let passwords = Passwords::derive(b"key", "uid");
            let inputs = Inputs {
                restarted: None,
                kept: None,
                passwords: &passwords,
                application_password: Some("x"),
                holder: "x",
                replicas: redis.spec.replicas,
            };
            build(&redis, &inputs).unwrap_or_else(|refusal| panic!("{file}: {refusal}"));
        }
        assert_eq!(found, 1, "{file} shows one Redis");
    }
}
