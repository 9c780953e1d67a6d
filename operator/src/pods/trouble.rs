//! What keeps a pod from running, for people.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
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
        .filter(|init| !init.ready)
        .map(|init| (init, Origin::Init));
    let server = super::status(pod).map(|server| (server, Origin::Server));
    inits
        .chain(server)
        .find_map(|(container, origin)| stuck(pod, container, origin))
}

/// Where a container comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Server,
    Init,
}

impl Origin {
    /// The field that names its image.
    fn field(self, container: &ContainerStatus) -> String {
        match self {
            Self::Server => "spec.image".to_owned(),
            Self::Init => format!("spec.initContainers, {}", container.name),
        }
    }
}

/// Starting is no trouble; everything else that keeps a container waiting is, and an init container's failure.
fn stuck(pod: &Pod, container: &ContainerStatus, origin: Origin) -> Option<String> {
    let state = container.state.as_ref()?;
    let failed = |it: &&ContainerStateTerminated| origin == Origin::Init && it.exit_code != 0;
    if let Some(ended) = state.terminated.as_ref().filter(failed) {
        return Some(after(pod, container, origin, "Failed", ended));
    }
    let (reason, words) = super::held_up(container)?;
    let last = container.last_state.as_ref();
    Some(match last.and_then(|state| state.terminated.as_ref()) {
        Some(ended) => after(pod, container, origin, reason, ended),
        None => format!(
            "{reason}: {words}; check image {} ({}) and what it needs",
            container.image,
            origin.field(container)
        ),
    })
}

/// What a container does after its end, how that came, and where to look.
fn after(
    pod: &Pod,
    container: &ContainerStatus,
    origin: Origin,
    does: &str,
    ended: &ContainerStateTerminated,
) -> String {
    let words = &without_hashes(ended.message.as_deref().unwrap_or_default());
    let end: String = words.chars().skip(words.chars().count().saturating_sub(300)).collect();
    let how = ended.reason.as_deref().filter(|how| *how != "Error");
    let how = how.map(|how| format!(" ({how})")).unwrap_or_default();
    let (pod, name) = (pod.name_any(), &container.name);
    let again = container.state.as_ref().is_some_and(|state| state.terminated.is_none());
    let previous = if again { "--previous " } else { "" };
    format!(
        "{does} after exit code {}{how}: {end} See kubectl logs {previous}pod/{pod} -c {name}.{}",
        ended.exit_code,
        hint(container, ended, origin, words)
    )
}

/// What to change, as far as the end tells.
fn hint(container: &ContainerStatus, ended: &ContainerStateTerminated, origin: Origin, words: &str) -> String {
    let image = &container.image;
    if ended.reason.as_deref() == Some("OOMKilled") {
        return match origin {
            Origin::Server => " It needs more memory than it may have: raise spec.resources.limits.memory, or lower maxmemory in spec.config; replicas in a full sync need room beside the data.".to_owned(),
            Origin::Init => format!(" It needs more memory than {} gives it.", origin.field(container)),
        };
    }
    // 137: killed from outside, by a probe or by a person. The image is not to blame.
    if ended.exit_code == 137 || origin == Origin::Init {
        return String::new();
    }
    match version(words).filter(|version| is_too_old(version)) {
        Some(version) => format!(" {image} (spec.image) is version {version}; needed is {NEEDED}."),
        None => format!(" Needed is {NEEDED}; is {image} (spec.image) one?"),
    }
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
    use serde_json::{Value, json};

    /// Of a pod with a container that ended like this again and again.
    fn trouble_of(kind: &str, container: &Value) -> String {
        let metadata = json!({ "name": "redis-a-0", "uid": "u" });
        let pod = json!({ "metadata": metadata, "status": { kind: [container] } });
        trouble(&serde_json::from_value(pod).unwrap()).unwrap()
    }

    fn ended(name: &str, image: &str, terminated: &Value) -> Value {
        let state = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 5m0s" } });
        json!({ "name": name, "image": image, "imageID": "", "ready": false, "restartCount": 5,
            "state": state, "lastState": { "terminated": terminated } })
    }

    fn trouble_after(image: &str, code: i32, words: &str) -> String {
        let terminated = json!({ "exitCode": code, "message": words, "reason": "Error" });
        trouble_of("containerStatuses", &ended("redis", image, &terminated))
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
        let words =
            "docker.io/library/redis:6.2 (spec.image) is version 6.2.14; needed is Redis 7.0 or later, or Valkey";
        assert!(said.contains(words), "{said}");
        assert!(
            said.contains("'-config|set': Unknown command") && !said.contains(&hash),
            "{said}"
        );
        // a newer one that does not know something else is not too old
        let said = ended("7.0.15");
        assert!(
            !said.contains("is version") && said.contains("Redis 7.0 or later, or Valkey; is"),
            "{said}"
        );
    }

    #[test]
    fn a_server_that_was_killed_does_not_blame_the_image() {
        let said = trouble_after("redis:7.0", 137, "");
        assert!(said.contains("exit code 137") && !said.contains("Needed"), "{said}");
    }

    #[test]
    fn a_server_that_needs_more_memory_than_it_may_have_is_told_where_to_give_it() {
        let terminated = json!({ "exitCode": 137, "reason": "OOMKilled" });
        let said = trouble_of("containerStatuses", &ended("redis", "redis:7.0", &terminated));
        assert!(
            said.contains("(OOMKilled)") && said.contains("spec.resources.limits.memory"),
            "{said}"
        );
    }

    #[test]
    fn an_init_container_that_fails_is_not_taken_for_the_server() {
        let terminated = json!({ "exitCode": 1, "message": "no such file", "reason": "Error" });
        let said = trouble_of("initContainerStatuses", &ended("restore", "busybox:1", &terminated));
        assert!(
            said.contains("no such file See kubectl logs --previous pod/redis-a-0 -c restore."),
            "{said}"
        );
        assert!(!said.contains("spec.image") && !said.contains("Needed"), "{said}");
        let mut now = ended("restore", "busybox:1", &terminated);
        now["state"] = json!({ "terminated": terminated });
        let said = trouble_of("initContainerStatuses", &now);
        assert!(
            said.starts_with("Failed after exit code 1: no such file See kubectl logs pod/redis-a-0 -c restore."),
            "{said}"
        );
        let waiting = json!({ "name": "restore", "image": "busybos:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ErrImagePull", "message": "not found" } } });
        let said = trouble_of("initContainerStatuses", &waiting);
        assert!(
            said.ends_with("check image busybos:1 (spec.initContainers, restore) and what it needs"),
            "{said}"
        );
    }
}
