//! The pod: redis-server as PID 1, its probes, its volumes.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, ContainerPort, DownwardAPIProjection, DownwardAPIVolumeFile, EmptyDirVolumeSource,
    KeyToPath, ObjectFieldSelector, PodSpec, PodTemplateSpec, ProjectedVolumeSource, SecretVolumeSource,
    TopologySpreadConstraint, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Owner, exporter, filled, non_empty, probes, revision};
use crate::api::{self, RedisSpec};
use crate::{config, credentials, names};

/// Everybody may read and run the scripts: they hold no secret, and the user's id may be any.
const EXECUTABLE: i32 = 0o555;
/// Readable whatever user and group the spec chooses; only the pod's own containers can reach the files.
const READABLE: i32 = 0o444;

/// The pods' template. It says nothing about roles: only the operator's decisions do.
pub(super) fn template(owner: &Owner<'_>, restarted: Option<&str>) -> PodTemplateSpec {
    let spec = &owner.redis.spec;
    let mut labels = spec.pod_labels.clone();
    labels.extend(names::labels(owner.name));
    let mut annotations = spec.pod_annotations.clone();
    annotations.insert(names::ANNOTATION_CONFIG.to_owned(), config::render(spec));
    annotations.insert(names::ANNOTATION_SPEC.to_owned(), revision(spec, restarted));
    annotations.extend(restarted.map(|time| (names::ANNOTATION_RESTART.to_owned(), time.to_owned())));
    let exporter = spec
        .exporter
        .as_ref()
        .map(|exporter| exporter::container(owner, exporter));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            affinity: spec.affinity.clone(),
            // who names an account wants its token; a server needs none
            automount_service_account_token: spec.service_account_name.is_none().then_some(false),
            containers: [redis(spec)].into_iter().chain(exporter).collect(),
            enable_service_links: Some(false),
            image_pull_secrets: filled(&spec.image_pull_secrets),
            init_containers: (!spec.init_containers.is_empty()).then(|| {
                spec.init_containers
                    .iter()
                    .map(|container| init(spec, container))
                    .collect()
            }),
            node_selector: non_empty(&spec.node_selector),
            priority_class_name: spec.priority_class_name.clone(),
            security_context: Some(spec.pod_security_context.clone()),
            service_account_name: spec.service_account_name.clone(),
            termination_grace_period_seconds: Some(spec.termination_grace_period_seconds),
            tolerations: filled(&spec.tolerations),
            topology_spread_constraints: filled(&spread(owner)),
            volumes: Some(volumes(owner)),
            ..PodSpec::default()
        }),
    }
}

/// The server. `command`, because an image's entry point may change users, files or arguments, and because the process
/// must be PID 1: its signals and its end are the container's.
fn redis(spec: &RedisSpec) -> Container {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    Container {
        name: names::CONTAINER_REDIS.to_owned(),
        image: Some(spec.image.clone()),
        image_pull_policy: spec.image_pull_policy.map(|policy| policy.as_str().to_owned()),
        command: Some(config::command()),
        ports: Some(vec![ContainerPort {
            name: Some(names::PORT_REDIS_NAME.to_owned()),
            container_port: names::PORT_REDIS,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        lifecycle: Some(probes::lifecycle()),
        liveness_probe: Some(probes::liveness()),
        readiness_probe: Some(probes::readiness()),
        startup_probe: Some(probes::startup()),
        // a server that does not start says why on its last lines, and nowhere else
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        resources: spec.resources.clone(),
        security_context: Some(spec.security_context.clone()),
        volume_mounts: Some(vec![
            mount(names::VOLUME_CONFIG, config::CONFIG_DIR, true),
            mount(names::VOLUME_AUTH, config::AUTH_DIR, true),
            mount(names::VOLUME_DATA, config::DATA_DIR, false),
        ]),
        ..Container::default()
    }
}

fn init(spec: &RedisSpec, container: &api::InitContainer) -> Container {
    Container {
        name: container.name.clone(),
        image: Some(container.image.clone()),
        image_pull_policy: container.image_pull_policy.map(|policy| policy.as_str().to_owned()),
        command: filled(&container.command),
        args: filled(&container.args),
        env: filled(&container.env),
        resources: container.resources.clone(),
        security_context: Some(spec.security_context.clone()),
        volume_mounts: filled(&container.volume_mounts),
        ..Container::default()
    }
}

/// The scripts, and the pod's own redis.conf: the one that it was made with, from its annotation.
///
/// From a ConfigMap that pods share, a container that starts again in a pod of the spec before would read the present
/// file, with directives that its server may not know or a value that no server takes. So what the template says is all
/// that decides about a pod, the kept one of [`super::Inputs::kept`] too, and there is nothing to name and clear away by
/// revision.
fn config(owner: &Owner<'_>) -> Volume {
    let scripts = ConfigMapProjection {
        name: names::object(owner.name),
        items: Some(probes::SCRIPTS.iter().map(|(name, _)| item(name)).collect()),
        optional: None,
    };
    let redis_conf = DownwardAPIVolumeFile {
        path: config::CONFIG_FILE.to_owned(),
        field_ref: Some(ObjectFieldSelector {
            field_path: format!("metadata.annotations['{}']", names::ANNOTATION_CONFIG),
            ..ObjectFieldSelector::default()
        }),
        ..DownwardAPIVolumeFile::default()
    };
    let sources = [
        VolumeProjection {
            config_map: Some(scripts),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            downward_api: Some(DownwardAPIProjection {
                items: Some(vec![redis_conf]),
            }),
            ..VolumeProjection::default()
        },
    ];
    Volume {
        name: names::VOLUME_CONFIG.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(EXECUTABLE),
            sources: Some(sources.into()),
        }),
        ..Volume::default()
    }
}

fn item(key: &str) -> KeyToPath {
    KeyToPath {
        key: key.to_owned(),
        path: key.to_owned(),
        mode: None,
    }
}

fn volumes(owner: &Owner<'_>) -> Vec<Volume> {
    let spec = &owner.redis.spec;
    let auth = Volume {
        name: names::VOLUME_AUTH.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(names::object(owner.name)),
            default_mode: Some(READABLE),
            items: Some(vec![item(config::AUTH_FILE), item(credentials::PROBE_PASSWORD)]),
            optional: None,
        }),
        ..Volume::default()
    };
    // with storage the StatefulSet adds the claim's volume of this name
    let data = spec.storage.is_none().then(|| Volume {
        name: names::VOLUME_DATA.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    let given = spec.volumes.iter().map(|volume| Volume {
        name: volume.name.clone(),
        config_map: volume.config_map.clone(),
        secret: volume.secret.clone(),
        empty_dir: volume.empty_dir.clone(),
        persistent_volume_claim: volume.persistent_volume_claim.clone(),
        ..Volume::default()
    });
    [config(owner), auth].into_iter().chain(data).chain(given).collect()
}

/// The user's constraints, or one over nodes. A selector that the user leaves out is the resource's own, since one
/// that selects nothing spreads nothing.
fn spread(owner: &Owner<'_>) -> Vec<TopologySpreadConstraint> {
    let own = || TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    };
    let given = owner.redis.spec.topology_spread_constraints.clone();
    let with_selector = |constraint: TopologySpreadConstraint| TopologySpreadConstraint {
        label_selector: constraint.label_selector.or_else(|| Some(owner.selector())),
        ..constraint
    };
    given
        .unwrap_or_else(|| vec![own()])
        .into_iter()
        .map(with_selector)
        .collect()
}
