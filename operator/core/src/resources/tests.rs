//! Law 12 and what the objects promise.

use super::*;
use crate::api::RedisSpec;

pub(super) fn redis(name: &str, spec: RedisSpec) -> Redis {
    let mut redis = Redis::new(name, spec);
    redis.metadata.namespace = Some("default".to_owned());
    redis.metadata.uid = Some("8d0c0c8e-0000-4000-8000-000000000001".to_owned());
    redis
}

pub(super) fn built(redis: &Redis) -> Resources {
    let passwords = Passwords::derive(b"key", redis.metadata.uid.as_deref().unwrap());
    let inputs = Inputs {
        passwords: &passwords,
        application_password: None,
        holder: "operator-0",
        replicas: redis.spec.replicas,
    };
    build(redis, &inputs).unwrap()
}
#[test]
fn t() {
    println!(
        "{}",
        serde_json::to_string_pretty(&built(&redis("a", RedisSpec::new("x"))).stateful_set).unwrap()
    );
}
