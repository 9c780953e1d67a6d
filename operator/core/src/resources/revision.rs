//! What a spec says about its pods, as a short text that changes when that does.

use serde_json::Value;

use crate::api::{Password, Policy, RedisSpec, SecretKeyRef};
use crate::credentials;

/// Changes exactly when a user asks for other pods. It does not depend on what an operator makes of a spec, so that a newer
/// operator restarts nothing; a field that a newer schema adds counts only where it is not at its default. A restart that was accepted (`restarted`) is
/// a wish for other pods too.
pub fn revision(spec: &RedisSpec, restarted: Option<&str>) -> String {
    let mut pods = RedisSpec {
        replicas: 0,
        policy: Policy::default(),
        priorities: Vec::new(),
        // Servers read it when they start, so all have to once there is one. Which it is, is its Secret's affair.
        password: spec.password.as_ref().map(|_| some_password()),
        ..spec.clone()
    };
    // Neither the size nor the fate of a claim is the pod's.
    if let Some(storage) = &mut pods.storage {
        *storage = crate::api::Storage::new("");
    }
    let default = RedisSpec {
        replicas: 0,
        ..RedisSpec::new("")
    };
    let said = (serde_json::to_value(&pods), serde_json::to_value(&default));
    let (Ok(Value::Object(mut said)), Ok(default)) = said else {
        return String::new();
    };
    said.retain(|field, value| default.get(field) != Some(value) && !value.is_null());
    let mut text = Value::Object(said).to_string();
    text.push_str(restarted.unwrap_or_default());
    credentials::sha256(&text).chars().take(16).collect()
}

fn some_password() -> Password {
    Password {
        secret_key_ref: SecretKeyRef {
            name: String::new(),
            key: String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Storage;

    #[test]
    fn r13_what_is_no_part_of_a_pod_restarts_none() {
        let spec = RedisSpec::new("redis:7.0");
        let mut other = spec.clone();
        other.replicas = 5;
        other.policy = Policy::Durability;
        other.priorities = vec![crate::api::Priority::default()];
        assert_eq!(revision(&spec, None), revision(&other, None));
        let stored = |size: &str| {
            let mut spec = spec.clone();
            spec.storage = Some(Storage::new(size));
            revision(&spec, None)
        };
        assert_eq!(stored("1Gi"), stored("2Gi"));
        assert_ne!(stored("1Gi"), revision(&spec, None));
    }

    #[test]
    fn every_part_of_a_pod_counts() {
        let spec = RedisSpec::new("redis:7.0");
        let with = |change: fn(&mut RedisSpec)| {
            let mut spec = spec.clone();
            change(&mut spec);
            revision(&spec, None)
        };
        let all = [
            revision(&spec, None),
            with(|spec| spec.image = "redis:7.2".to_owned()),
            with(|spec| spec.config.extend([("maxmemory".to_owned(), "1gb".to_owned())])),
            with(|spec| spec.resources = Some(Default::default())),
            with(|spec| spec.pod_labels.extend([("a".to_owned(), "b".to_owned())])),
            with(|spec| spec.down_after = "1s".to_owned()),
            with(|spec| spec.termination_grace_period_seconds = 60),
            with(|spec| spec.password = Some(some_password())),
            revision(&spec, Some("2026-01-31T12:00:00Z")),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    /// A text that changed between two versions of the operator would restart every pod of every resource.
    #[test]
    fn r13_it_is_the_same_in_every_version() {
        assert_eq!(revision(&RedisSpec::new("redis:7.0"), None), "9f26e38734b884ba");
    }
}
