//! Which instances should rather be master.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The priority of a server that nobody gave one, Redis' own default.
pub const DEFAULT_PRIORITY: u32 = 100;
/// The largest one.
pub const MAX_PRIORITY: i32 = 1000;

/// A priority, and the pods that have it: those with one of the ordinals, on a node with all of the labels. What is left out
/// fits every pod.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Priority {
    /// From 1, preferred, to 1000; 0: never master.
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message(
        "priority must be from 0 (never master) to 1000; lower is preferred, and 100 is that of pods without an entry"
    ))]
    pub priority: i32,
    /// Labels of the node, for example `topology.kubernetes.io/zone: a`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Ordinals of pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub ordinals: Vec<i32>,
}

/// The priority of a pod, on a node with these labels. None if it depends on labels that are not known, because the node is
/// gone: what was 0 must not become 100 by that.
pub fn priority(all: &[Priority], ordinal: u32, labels: Option<&BTreeMap<String, String>>) -> Option<u32> {
    let named = |entry: &&Priority| {
        let mut ordinals = entry.ordinals.iter();
        entry.ordinals.is_empty() || ordinals.any(|n| u32::try_from(*n) == Ok(ordinal))
    };
    for entry in all.iter().filter(named) {
        let mut selector = entry.node_selector.iter();
        let fits = match labels {
            Some(labels) => selector.all(|(key, value)| labels.get(key) == Some(value)),
            None if entry.node_selector.is_empty() => true,
            None => return None,
        };
        if fits {
            // what the schema refuses counts as if nothing were said
            return Some(u32::try_from(entry.priority).unwrap_or(DEFAULT_PRIORITY));
        }
    }
    Some(DEFAULT_PRIORITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_that_fits_counts() {
        let zone = |zone: &str| BTreeMap::from([("zone".to_owned(), zone.to_owned())]);
        let entry = |priority: i32, node_selector: BTreeMap<String, String>, ordinals: &[i32]| Priority {
            priority,
            node_selector,
            ordinals: ordinals.to_vec(),
        };
        let all = [
            entry(0, BTreeMap::new(), &[2]),
            entry(10, zone("a"), &[]),
            entry(20, zone("b"), &[0, 1]),
        ];
        let on = |ordinal, name: &str| priority(&all, ordinal, Some(&zone(name)));
        assert_eq!((on(2, "a"), on(0, "a")), (Some(0), Some(10)));
        assert_eq!((on(1, "b"), on(3, "b")), (Some(20), Some(100)));
        assert_eq!(priority(&[], 0, Some(&BTreeMap::new())), Some(100));
        assert_eq!(priority(&[], 0, None), Some(100));
        assert_eq!((priority(&all, 2, None), priority(&all, 0, None)), (Some(0), None));
    }
}
