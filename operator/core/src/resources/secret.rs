//! The Secret: users for the servers, passwords for the operator, the probes and the exporter.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::{Inputs, Owner};
use crate::{config, credentials, names};

/// Secret `redis-<n>`. Pods mount auth.conf and the probes' password only.
pub(super) fn secret(owner: &Owner<'_>, inputs: &Inputs<'_>) -> Secret {
    let commands = owner.redis.spec.application_commands;
    let passwords = inputs.passwords;
    let entries = [
        (
            config::AUTH_FILE,
            credentials::auth_conf(passwords, inputs.application_password, commands),
        ),
        (credentials::OPERATOR_PASSWORD, passwords.operator.clone()),
        (credentials::PROBE_PASSWORD, passwords.probe.clone()),
        (credentials::EXPORTER_PASSWORD, passwords.exporter.clone()),
    ];
    Secret {
        metadata: owner.metadata(names::object(owner.name)),
        type_: Some("Opaque".to_owned()),
        data: Some(
            entries
                .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
                .into(),
        ),
        ..Secret::default()
    }
}
