//! The metrics sidecar: redis_exporter, with a user that can read no key.

use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar, EnvVarSource, SecretKeySelector};

use super::Owner;
use crate::api::Exporter;
use crate::{credentials, names};

/// Container `exporter`.
pub(super) fn container(owner: &Owner<'_>, exporter: &Exporter) -> Container {
    let spec = &owner.redis.spec;
    let plain = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    };
    let password = SecretKeySelector {
        name: names::object(owner.name),
        key: credentials::EXPORTER_PASSWORD.to_owned(),
        optional: None,
    };
    Container {
        name: names::CONTAINER_EXPORTER.to_owned(),
        image: Some(exporter.image.clone()),
        image_pull_policy: spec.image_pull_policy.map(|policy| policy.as_str().to_owned()),
        env: Some(vec![
            plain("REDIS_ADDR", format!("redis://localhost:{}", names::PORT_REDIS)),
            plain("REDIS_USER", names::USER_EXPORTER.to_owned()),
            EnvVar {
                name: "REDIS_PASSWORD".to_owned(),
                value: None,
                value_from: Some(EnvVarSource {
                    secret_key_ref: Some(password),
                    ..EnvVarSource::default()
                }),
            },
        ]),
        ports: Some(vec![ContainerPort {
            name: Some(names::PORT_METRICS_NAME.to_owned()),
            container_port: names::PORT_METRICS,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: exporter.resources.clone(),
        security_context: Some(spec.security_context.clone()),
        ..Container::default()
    }
}
