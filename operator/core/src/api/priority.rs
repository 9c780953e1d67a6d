//! Which instances should rather be master.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The priority of a server that nobody gave one, Redis' own default.
const DEFAULT: u32 = 100;

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

/// The priority of a pod, on a node with these labels.
pub fn priority(all: &[Priority], ordinal: u32, labels: &BTreeMap<String, String>) -> u32 {
    let fits = |entry: &&Priority| {
        let pod = entry.ordinals.is_empty() || entry.ordinals.iter().any(|n| u32::try_from(*n) == Ok(ordinal));
        let node = entry
            .node_selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value));
        pod && node
    };
    let entry = all.iter().find(fits);
    entry.map_or(DEFAULT, |entry| u32::try_from(entry.priority).unwrap_or(DEFAULT))
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
        assert_eq!(priority(&all, 2, &zone("a")), 0);
        assert_eq!(priority(&all, 0, &zone("a")), 10);
        assert_eq!(priority(&all, 1, &zone("b")), 20);
        assert_eq!(priority(&all, 3, &zone("b")), 100);
        assert_eq!(priority(&[], 0, &BTreeMap::new()), 100);
    }
}
