//! What keeps a pod from running, for people.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use redis_operator_core::version::{NEEDED, is_too_old};

/// Why a pod cannot run, in Kubernetes' words, with what to look at.
pub(super) fn trouble(pod: &Pod) -> Option<String> {
    let pod_status = pod.status.as_ref()?;
    let conditions = pod_status.conditions.iter().flatten();
    let unscheduled = conditions
        .into_iter()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(condition) = unscheduled {
        return Some(format!(
            "cannot be scheduled: {}",
            condition.message.as_deref().unwrap_or_default()
        ));
    }
    let inits = pod_status
        .init_container_statuses
        .iter()
        .flatten()
        .filter(|init| !init.ready);
    inits
        .chain(super::status(pod))
        .find_map(|container| stuck(pod, container))
}

/// Starting is no trouble; everything else that keeps a container waiting is.
fn stuck(pod: &Pod, container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or("waiting");
    if ["ContainerCreating", "PodInitializing"].contains(&reason) {
        return None;
    }
    let ended = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let Some(ended) = ended else {
        let words = waiting.message.as_deref().unwrap_or_default();
        return Some(format!(
            "{reason}: {words}; check image {} (spec.image) and what it needs",
            container.image
        ));
    };
    let words = &without_hashes(ended.message.as_deref().unwrap_or_default());
    let end: String = words.chars().skip(words.chars().count().saturating_sub(300)).collect();
    let (code, image) = (ended.exit_code, &container.image);
    // 137: killed from outside, by the kernel for its memory or by a person. The image is not to blame.
    let hint = if code == 137 {
        String::new()
    } else if let Some(version) = version(words).filter(|version| is_too_old(version)) {
        format!(" {image} (spec.image) is version {version}; needed is {NEEDED}.")
    } else {
        format!(" Needed is {NEEDED}; is {image} (spec.image) one?")
    };
    Some(format!(
        "{reason} after exit code {code}: {end} See kubectl logs --previous {}.{hint}",
        pod.name_any()
    ))
}

/// On one line, without the hashes of passwords that a line of the users' file has.
fn without_hashes(words: &str) -> String {
    let hidden = |word: &'_ str| word.starts_with('#') && word.len() == 65;
    let words = words
        .split_whitespace()
        .map(|word| if hidden(word) { "#…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// The version that a server names when its configuration has something that it does not know.
fn version(words: &str) -> Option<&str> {
    let (_, rest) = words.split_once("FATAL CONFIG FILE ERROR (Redis ")?;
    rest.split_once(')').map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Of a pod whose server ended like this again and again.
    fn trouble_after(image: &str, code: i32, words: &str) -> String {
        let state = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 5m0s" } });
        let last = json!({ "terminated": { "exitCode": code, "message": words } });
        let status = json!({ "name": "redis", "image": image, "imageID": "", "ready": false, "restartCount": 5,
            "state": state, "lastState": last });
        let metadata = json!({ "name": "redis-a-0", "uid": "u" });
        let pod = json!({ "metadata": metadata, "status": { "containerStatuses": [status] } });
        trouble(&serde_json::from_value(pod).unwrap()).unwrap()
    }

    /// A server of 6.2 knows no rules that take single subcommands away, as the users' file has them, and shows the line.
    #[test]
    fn b04_an_image_that_is_too_old_is_told_with_its_version_and_the_one_that_is_needed() {
        let hash = "0".repeat(64);
        let ended = |version: &str| {
            let words = format!(
                "\n*** FATAL CONFIG FILE ERROR (Redis {version}) ***\nReading the configuration file, at line 4\n>>> 'user default on #{hash} ~* &* +@all -config|set'\nError in user declaration '-config|set': Unknown command or category name in ACL\n"
            );
            trouble_after("docker.io/library/redis:6.2", 1, &words)
        };
        let said = ended("6.2.14");
        let words = "docker.io/library/redis:6.2 (spec.image) is version 6.2.14; needed is redis-server or valkey-server 7.0 or later";
        assert!(said.contains(words), "{said}");
        assert!(
            said.contains("'-config|set': Unknown command") && !said.contains(&hash),
            "{said}"
        );
        // a newer one that does not know something else is not too old
        let said = ended("7.0.15");
        assert!(
            !said.contains("is version") && said.contains("7.0 or later; is"),
            "{said}"
        );
    }

    #[test]
    fn a_server_that_was_killed_does_not_blame_the_image() {
        let said = trouble_after("redis:7.0", 137, "");
        assert!(said.contains("exit code 137") && !said.contains("Needed"), "{said}");
    }
}
