//! The ConfigMap: redis.conf and the probes' scripts, mounted read-only.

use k8s_openapi::api::core::v1::ConfigMap;

use super::{Owner, probes};
use crate::{config, credentials, names};

/// ConfigMap `redis-<n>`.
pub(super) fn config_map(owner: &Owner<'_>) -> ConfigMap {
    let conf = (config::CONFIG_FILE, config::render(&owner.redis.spec));
    let scripts = probes::SCRIPTS.iter().map(|(name, text)| (*name, (*text).to_owned()));
    ConfigMap {
        metadata: owner.metadata(names::object(owner.name)),
        data: Some(
            [conf]
                .into_iter()
                .chain(scripts)
                .map(|(name, text)| (name.to_owned(), text))
                .collect(),
        ),
        ..ConfigMap::default()
    }
}

/// Changes exactly when running processes have read another redis.conf. The scripts do not count: the kubelet renews
/// them in place.
pub(super) fn revision(owner: &Owner<'_>) -> String {
    credentials::sha256(&config::render(&owner.redis.spec))
        .chars()
        .take(16)
        .collect()
}
