//! Law 12, and what the objects promise.

mod refusals;

use k8s_openapi::api::core::v1::PodSpec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::{Exporter, InitContainer, RedisSpec, Storage};

fn redis(name: &str, spec: RedisSpec) -> Redis {
    let mut redis = Redis::new(name, spec);
    redis.metadata.namespace = Some("default".to_owned());
    redis.metadata.uid = Some("8d0c0c8e-0000-4000-8000-000000000001".to_owned());
    redis
}

fn build_with(redis: &Redis, holder: &str) -> Result<Resources, Refusal> {
    let passwords = Passwords::derive(b"key", "uid");
    let replicas = redis.spec.replicas;
    build(
        redis,
        &Inputs {
            restarted: None,
            kept: None,
            passwords: &passwords,
            application_password: None,
            holder,
            replicas,
        },
    )
}

fn built(redis: &Redis) -> Resources {
    build_with(redis, "operator-0").unwrap()
}

fn full() -> RedisSpec {
    let mut spec = RedisSpec::new("redis");
    spec.exporter = Some(Exporter {
        image: "exporter".to_owned(),
        resources: None,
    });
    spec.storage = Some(Storage::new("1Gi"));
    let init = json!({ "name": "init", "image": "init", "volumeMounts": [{ "name": "data", "mountPath": "/data" }] });
    spec.init_containers = vec![serde_json::from_value::<InitContainer>(init).unwrap()];
    spec.pod_labels = [("team".to_owned(), "shop".to_owned())].into();
    spec
}

fn values(resources: Resources) -> Vec<Value> {
    let Resources {
        config_map,
        secret,
        headless_service,
        service,
        master_service,
        replica_service,
        disruption_budget,
        stateful_set,
    } = resources;
    vec![
        json!(config_map),
        json!(secret),
        json!(headless_service),
        json!(service),
        json!(master_service),
        json!(replica_service),
        json!(disruption_budget),
        json!(stateful_set),
    ]
}

fn pod_spec(resources: &Resources) -> PodSpec {
    resources.stateful_set.spec.clone().unwrap().template.spec.unwrap()
}

prop_compose! {
    fn any_name()(name in "[a-z0-9]([-a-z0-9]{0,43}[a-z0-9])?") -> String { name }
}

/// As for the other laws.
fn cases() -> u32 {
    let given = std::env::var("LAWS_CASES").ok();
    given.map_or(256, |text| text.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn law_12_every_object_is_owned_named_and_labelled(name in any_name(), everything: bool) {
        prop_assume!(!names::RESERVED_ENDINGS.iter().any(|ending| name.ends_with(ending)));
        let redis = redis(&name, if everything { full() } else { RedisSpec::new("redis") });
        for object in values(built(&redis)) {
            let metadata = &object["metadata"];
            prop_assert!(metadata["name"].as_str().unwrap().len() <= 63);
            prop_assert_eq!(&metadata["namespace"], "default");
            prop_assert_eq!(&metadata["labels"]["redis"], &json!(name));
            prop_assert!(metadata["annotations"][names::ANNOTATION_APPLIED].is_string());
            let owners = metadata["ownerReferences"].as_array().unwrap();
            prop_assert_eq!(owners.len(), 1);
            prop_assert_eq!(&owners[0]["uid"], &json!(redis.metadata.uid));
            prop_assert_eq!(&owners[0]["controller"], true);
        }
    }

    #[test]
    fn law_12_selectors_are_within_labels(name in any_name()) {
        prop_assume!(!names::RESERVED_ENDINGS.iter().any(|ending| name.ends_with(ending)));
        let resources = built(&redis(&name, full()));
        let set = resources.stateful_set.spec.unwrap();
        let labels = set.template.metadata.unwrap().labels.unwrap();
        prop_assert!(!labels.contains_key(names::LABEL_ROLE));
        let within = |selector: &BTreeMap<String, String>| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        prop_assert!(within(&set.selector.match_labels.unwrap()));
        prop_assert!(within(&resources.disruption_budget.spec.unwrap().selector.unwrap().match_labels.unwrap()));
        for service in [resources.service, resources.headless_service] {
            let selector = service.spec.unwrap().selector.unwrap();
            prop_assert!(!selector.is_empty() && within(&selector));
        }
        prop_assert_eq!(resources.master_service.spec.unwrap().selector.unwrap(), BTreeMap::new());
        let mut replica = resources.replica_service.spec.unwrap().selector.unwrap();
        prop_assert_eq!(replica.remove(names::LABEL_ROLE), Some("replica".to_owned()));
        prop_assert!(!replica.is_empty() && within(&replica));
    }
}

#[test]
fn law_12_objects_survive_a_round_trip() {
    for spec in [RedisSpec::new("redis"), full()] {
        let resources = built(&redis("a", spec));
        let back: StatefulSet = serde_json::from_value(json!(resources.stateful_set)).unwrap();
        assert_eq!(back, resources.stateful_set);
        let back: Secret = serde_json::from_value(json!(resources.secret)).unwrap();
        assert_eq!(back, resources.secret);
        for object in values(resources) {
            assert!(!differs(&object, &object));
        }
    }
}

#[test]
fn the_same_resource_gives_the_same_objects() {
    assert_eq!(built(&redis("a", full())), built(&redis("a", full())));
}

#[test]
fn pods_pass_the_restricted_security_standard() {
    let pod = pod_spec(&built(&redis("a", full())));
    let security = pod.security_context.unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
    assert_eq!((pod.host_network, pod.host_pid, pod.host_ipc), (None, None, None));
    let containers: Vec<_> = pod.containers.into_iter().chain(pod.init_containers.unwrap()).collect();
    assert_eq!(containers.len(), 3);
    for container in containers {
        let security = container.security_context.unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(security.privileged, None);
        let capabilities = security.capabilities.unwrap();
        assert_eq!(
            (capabilities.add, capabilities.drop),
            (None, Some(vec!["ALL".to_owned()]))
        );
        assert!(
            container
                .ports
                .unwrap_or_default()
                .iter()
                .all(|port| port.host_port.is_none())
        );
    }
    for volume in pod.volumes.unwrap() {
        assert!(volume.projected.is_some() || volume.secret.is_some() || volume.empty_dir.is_some());
    }
}

#[test]
fn the_server_is_the_first_process_and_finds_its_files_read_only() {
    let pod = pod_spec(&built(&redis("a", RedisSpec::new("redis"))));
    let server = &pod.containers[0];
    assert_eq!(server.name, "redis");
    let command = server.command.as_ref().unwrap().join(" ");
    assert_eq!(
        command,
        "redis-server /etc/redis/redis.conf --replicaof 127.0.0.1 1 --replica-serve-stale-data no"
    );
    assert_eq!((&server.args, pod.share_process_namespace), (&None, None));
    let writable: Vec<_> = server
        .volume_mounts
        .iter()
        .flatten()
        .filter(|mount| mount.read_only != Some(true))
        .map(|m| &m.name)
        .collect();
    assert_eq!(writable, ["data"]);
}

#[test]
fn pods_see_no_password_but_the_probes_own() {
    let resources = built(&redis("a", full()));
    let volumes = pod_spec(&resources).volumes.unwrap();
    let items: Vec<_> = volumes
        .iter()
        .filter_map(|volume| volume.secret.as_ref()?.items.as_ref())
        .flatten()
        .collect();
    let keys: Vec<_> = items.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(keys, ["auth.conf", "probe-password"]);
}

#[test]
fn storage_replaces_the_directory_that_goes_with_the_pod() {
    let data = |spec: RedisSpec| {
        let resources = built(&redis("a", spec));
        let volumes = pod_spec(&resources).volumes.unwrap();
        let directory = volumes.iter().any(|volume| volume.name == "data");
        let claims = resources
            .stateful_set
            .spec
            .unwrap()
            .volume_claim_templates
            .unwrap_or_default();
        (directory, claims.len())
    };
    assert_eq!(data(RedisSpec::new("redis")), (true, 0));
    assert_eq!(data(full()), (false, 1));
}

#[test]
fn pods_spread_over_nodes_unless_told_otherwise() {
    let spread = |spec: RedisSpec| pod_spec(&built(&redis("a", spec))).topology_spread_constraints;
    let default = spread(RedisSpec::new("redis")).unwrap();
    assert_eq!(default[0].topology_key, "kubernetes.io/hostname");
    assert_eq!(
        default[0].label_selector.as_ref().unwrap().match_labels,
        Some(names::selector("a"))
    );
    let mut none = RedisSpec::new("redis");
    none.topology_spread_constraints = Some(Vec::new());
    assert_eq!(spread(none), None);
}

#[test]
fn pods_are_outdated_when_redis_conf_or_the_template_changed_and_only_then() {
    let template = |spec: RedisSpec, holder: &str| {
        build_with(&redis("a", spec), holder)
            .unwrap()
            .stateful_set
            .spec
            .unwrap()
            .template
    };
    let before = template(RedisSpec::new("redis"), "operator-0");
    let mut changed = RedisSpec::new("redis");
    changed.replicas = 5;
    changed.policy = crate::api::Policy::Durability;
    assert_eq!(before, template(changed.clone(), "operator-1"));
    changed.config.insert("maxmemory".to_owned(), "1gb".to_owned());
    assert_ne!(before, template(changed, "operator-0"));
}

/// A container that starts again in an old pod must not read what another spec says.
#[test]
fn r05_each_pod_has_the_redis_conf_that_it_was_made_with() {
    let pod = pod_spec(&built(&redis("a", RedisSpec::new("redis"))));
    let volume = pod
        .volumes
        .unwrap()
        .into_iter()
        .find(|it| it.name == names::VOLUME_CONFIG);
    let sources = json!(volume.unwrap().projected.unwrap().sources);
    let shared: Vec<_> = sources[0]["configMap"]["items"].as_array().unwrap().iter().collect();
    assert!(shared.iter().all(|item| item["path"] != "redis.conf"), "{shared:?}");
    assert_eq!(shared.len(), probes::SCRIPTS.len());
    let own = &sources[1]["downwardAPI"]["items"][0];
    assert_eq!(own["path"], "redis.conf");
    assert_eq!(
        own["fieldRef"]["fieldPath"],
        "metadata.annotations['redis-operator.dev/config']"
    );
    let mut spec = RedisSpec::new("redis");
    spec.pod_annotations = [(names::ANNOTATION_CONFIG.to_owned(), "theirs".to_owned())].into();
    let conf = crate::config::render(&spec);
    let template = built(&redis("a", spec)).stateful_set.spec.unwrap().template;
    assert_eq!(
        template.metadata.unwrap().annotations.unwrap()[names::ANNOTATION_CONFIG],
        conf
    );
}

#[test]
fn r05_a_template_is_kept_and_the_rest_follows_the_spec() {
    let before = built(&redis("a", RedisSpec::new("redis:7.2")))
        .stateful_set
        .spec
        .unwrap()
        .template;
    let mut spec = RedisSpec::new("redis:7.0");
    spec.exporter = full().exporter;
    let passwords = Passwords::derive(b"key", "uid");
    let inputs = Inputs {
        restarted: Some("2026-01-31T12:00:00Z"),
        kept: Some(&before),
        passwords: &passwords,
        application_password: None,
        holder: "operator-0",
        replicas: 5,
    };
    let resources = build(&redis("a", spec), &inputs).unwrap();
    let set = resources.stateful_set.spec.unwrap();
    assert_eq!((set.template, set.replicas), (before, Some(5)));
    let ports = resources.replica_service.spec.unwrap().ports.unwrap();
    assert_eq!(ports.len(), 2);
}
