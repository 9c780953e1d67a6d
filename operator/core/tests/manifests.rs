//! manifests/: what `kubectl apply -Rf` installs.

#[cfg(test)]
mod yaml;

use serde_json::{Value, json};
use yaml::documents;

fn all() -> Vec<Value> {
    documents("manifests")
        .into_iter()
        .flat_map(|(_, documents)| documents)
        .collect()
}

fn of_kind(kind: &str) -> Vec<Value> {
    all().into_iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn the_order_of_the_files_is_that_of_installation() {
    let order: Vec<_> = all()
        .into_iter()
        .map(|object| object["kind"].as_str().unwrap().to_owned())
        .collect();
    let at = |kind: &str| {
        order
            .iter()
            .position(|found| found == kind)
            .unwrap_or_else(|| panic!("no {kind}"))
    };
    assert_eq!(at("Namespace"), 0);
    assert!(at("CustomResourceDefinition") < at("Deployment"));
    assert!(at("ServiceAccount") < at("Deployment") && at("ClusterRole") < at("Deployment"));
}

#[test]
fn the_definition_is_that_of_the_code() {
    use kube::CustomResourceExt;
    let file = of_kind("CustomResourceDefinition").remove(0);
    let code = json!(redis_operator_core::api::Redis::crd());
    assert_eq!(
        file, code,
        "regenerate it: cargo run -q -p crd-gen > manifests/10-crd.yaml"
    );
}

#[test]
fn the_operator_passes_the_restricted_security_standard() {
    let deployment = of_kind("Deployment").remove(0);
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in pod["containers"].as_array().unwrap() {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
    }
    let namespace = of_kind("Namespace").remove(0);
    assert_eq!(
        namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
}

/// Whoever replaces a master is not the first to go where a node is short of memory; nobody goes for its sake.
#[test]
fn the_operator_outlives_what_has_no_priority_and_displaces_nothing() {
    let class = of_kind("PriorityClass").remove(0);
    let pod = &of_kind("Deployment").remove(0)["spec"]["template"]["spec"];
    assert_eq!(pod["priorityClassName"], class["metadata"]["name"]);
    assert!(class["value"].as_i64().unwrap() > 0);
    assert_eq!(class["preemptionPolicy"], "Never");
}

#[test]
fn selectors_find_the_operator_and_bindings_its_account() {
    let deployment = of_kind("Deployment").remove(0);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let budget = of_kind("PodDisruptionBudget").remove(0);
    let service = of_kind("Service").remove(0);
    for selector in [
        &deployment["spec"]["selector"]["matchLabels"],
        &budget["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
    ] {
        assert!(selector.is_object() && yaml::within(selector, labels), "{selector}");
    }
    let account = of_kind("ServiceAccount").remove(0);
    assert_eq!(
        deployment["spec"]["template"]["spec"]["serviceAccountName"],
        account["metadata"]["name"]
    );
    let bindings: Vec<_> = of_kind("ClusterRoleBinding")
        .into_iter()
        .chain(of_kind("RoleBinding"))
        .collect();
    assert_eq!(bindings.len(), 4);
    for binding in bindings {
        assert_eq!(binding["subjects"][0]["name"], account["metadata"]["name"]);
        assert_eq!(binding["subjects"][0]["namespace"], account["metadata"]["namespace"]);
    }
}

/// Another operator's may be called `redis-operator`, and `kubectl apply` would overwrite them.
#[test]
fn what_is_cluster_wide_is_named_after_the_group() {
    let kinds = ["ClusterRole", "ClusterRoleBinding", "PriorityClass"];
    for object in kinds.into_iter().flat_map(of_kind) {
        let name = object["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("redis-operator.dev"), "{name}");
    }
}

/// Every right is one that a call of the operator needs: whoever takes the operator over has no more than these.
#[test]
fn the_operator_may_do_what_it_does_and_no_more() {
    let roles = of_kind("ClusterRole").into_iter().chain(of_kind("Role"));
    let names = ["redis-operator", "redis-operator.dev", "redis-operator.dev-nodes"];
    let own = roles.filter(|role| names.iter().any(|name| role["metadata"]["name"] == *name));
    let words = |list: &Value| {
        let words = list.as_array().unwrap().iter().map(|it| it.as_str().unwrap());
        words.collect::<Vec<_>>().join(",")
    };
    let rules: Vec<String> = own
        .flat_map(|role| role["rules"].as_array().unwrap().clone())
        .map(|rule| format!("{} {}", words(&rule["resources"]), words(&rule["verbs"])))
        .collect();
    assert_eq!(
        rules,
        [
            "redis get,list,watch",
            "redis/status patch",
            "redis/finalizers update",
            "configmaps,secrets,services get,list,watch,create,patch",
            "statefulsets get,list,watch,create,patch",
            "poddisruptionbudgets get,list,watch,create,patch",
            "endpointslices get,list,watch,create,update,delete",
            "endpointslices/restricted create",
            "endpoints delete",
            "pods list,watch,patch,delete",
            "events create,patch",
            "events list",
            "nodes list,watch",
            "leases get,update",
            "secrets get",
            "leases create",
            "secrets create",
            "leases get",
        ]
    );
}
