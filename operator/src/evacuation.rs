//! Pods that will not stay where they are: evicted ones, and those on nodes that somebody is about to take away.

use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};

/// What AWS' termination handler, Karpenter, the cluster autoscaler, GKE and cloud controllers put on a node that is about
/// to go, whatever the effect.
const TERMINATION: &[&str] = &[
    "aws-node-termination-handler/",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "ToBeDeletedByClusterAutoscaler",
    "cloud.google.com/impending-node-termination",
    "node.cloudprovider.kubernetes.io/shutdown",
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const DISRUPTION: &str = "DisruptionTarget";

/// Why the pod will not stay, for people; none if nothing says so.
///
/// A taint that the pod tolerates for a time only does not count: an unreachable kubelet says nothing about the pod yet.
pub fn evacuating(pod: &Pod, node: Option<&Node>) -> Option<String> {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut evicted = conditions.filter(|condition| condition.type_ == DISRUPTION && condition.status == "True");
    if let Some(condition) = evicted.next() {
        let reason = condition.reason.as_deref().unwrap_or("disruption");
        return Some(format!("it is being evicted ({reason})"));
    }
    let node = node?;
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let spec = node.spec.as_ref()?;
    if spec.unschedulable == Some(true) {
        return Some(format!("node {name} is cordoned"));
    }
    let tolerations: Vec<_> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.tolerations.iter().flatten())
        .collect();
    let mut taints = spec.taints.iter().flatten();
    let taint = taints.find(|taint| drives_away(taint, &tolerations))?;
    Some(format!("node {name} has the taint {}", taint.key))
}

fn drives_away(taint: &Taint, tolerations: &[&Toleration]) -> bool {
    let leaving = taint.key == UNSCHEDULABLE || TERMINATION.iter().any(|key| taint.key.starts_with(key));
    leaving || (taint.effect == "NoExecute" && !tolerations.iter().any(|it| tolerates(it, taint)))
}

/// As Kubernetes matches them: an empty key with `Exists` matches all, an empty effect every effect.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let value = exists || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    (key == taint.key || (key.is_empty() && exists)) && (effect.is_empty() || effect == taint.effect) && value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(tolerations: Value, conditions: Value) -> Pod {
        let spec = json!({ "containers": [], "tolerations": tolerations });
        serde_json::from_value(json!({ "metadata": {}, "spec": spec, "status": { "conditions": conditions } })).unwrap()
    }

    fn node(spec: Value) -> Node {
        serde_json::from_value(json!({ "metadata": { "name": "n" }, "spec": spec })).unwrap()
    }

    fn tainted(key: &str, effect: &str) -> Node {
        node(json!({ "taints": [{ "key": key, "effect": effect }] }))
    }

    #[test]
    fn r02_an_evicted_pod_counts_as_leaving() {
        let evicted = json!([{ "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI" }]);
        let why = evacuating(&pod(json!([]), evicted), None).unwrap();
        assert_eq!(why, "it is being evicted (EvictionByEvictionAPI)");
        assert_eq!(evacuating(&pod(json!([]), json!([])), None), None);
    }

    #[test]
    fn e18_nodes_that_are_about_to_go_are_left() {
        let leaves = |node: &Node| evacuating(&pod(json!([]), json!([])), Some(node));
        assert_eq!(
            leaves(&node(json!({ "unschedulable": true }))).unwrap(),
            "node n is cordoned"
        );
        for key in [
            "aws-node-termination-handler/spot-itn",
            "ToBeDeletedByClusterAutoscaler",
            "karpenter.sh/disrupted",
        ] {
            assert_eq!(
                leaves(&tainted(key, "NoSchedule")).unwrap(),
                format!("node n has the taint {key}")
            );
        }
        assert!(leaves(&tainted("maintenance", "NoExecute")).is_some());
        assert_eq!(leaves(&tainted("dedicated", "NoSchedule")), None);
        assert_eq!(leaves(&node(json!({}))), None);
    }

    #[test]
    fn a_taint_that_the_pod_tolerates_is_none() {
        let stays = |toleration: Value| {
            let pod = pod(json!([toleration]), json!([]));
            evacuating(&pod, Some(&tainted("node.kubernetes.io/unreachable", "NoExecute"))).is_none()
        };
        let key = "node.kubernetes.io/unreachable";
        assert!(stays(
            json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 })
        ));
        assert!(stays(json!({ "operator": "Exists" })));
        assert!(!stays(json!({ "key": "other", "operator": "Exists" })));
        assert!(!stays(
            json!({ "key": key, "operator": "Exists", "effect": "NoSchedule" })
        ));
    }
}
