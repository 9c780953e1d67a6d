//! The ConfigMap: the probes' scripts, mounted read-only, and redis.conf as the present spec wants it.

use k8s_openapi::api::core::v1::ConfigMap;

use super::{Owner, probes};
use crate::{config, names};

/// ConfigMap `redis-<n>`. Of it pods mount the scripts alone, which the kubelet renews in place. Their redis.conf is in
/// their own template; the one here is for people, and for pods that an operator made which mounted it from here.
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
