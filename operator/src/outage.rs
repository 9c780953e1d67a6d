//! Passes that fail one after another, told once: while the API server is away every resource tries again and again.

use crate::failing::Failed;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What the API server's own absence looks like: the same for every resource.
const AWAY: &str = "away";
/// What is told by nobody.
const CONFLICT: &str = "conflict";

/// Resources whose last pass failed, and how.
#[derive(Debug, Default)]
pub struct Outages(Mutex<BTreeMap<String, &'static str>>);

/// What the outcome of a pass adds to what was told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It is the first that fails so.
    Begins,
    /// It was the last one that failed so.
    Ends,
    /// Nothing.
    None,
}

impl Outages {
    /// Notes how the passes of a resource ended, and logs it if that is news.
    pub fn note(&self, resource: &str, failed: Option<&Failed>) {
        match (self.news(resource, failed.map(|failed| failed.label)), failed) {
            (News::Begins, Some(error)) => {
                tracing::warn!(redis = resource, %error, "passes fail; this is told once, until they succeed again");
            }
            (News::Ends, _) => tracing::info!(redis = resource, "passes succeed again"),
            (_, Some(error)) => tracing::debug!(redis = resource, %error, "pass failed"),
            (_, None) => {}
        }
    }

    fn news(&self, resource: &str, failed: Option<&'static str>) -> News {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(label) = failed else {
            return match failing.remove(resource) {
                Some(label) if label != AWAY || failing.values().all(|other| *other != AWAY) => News::Ends,
                _ => News::None,
            };
        };
        let kind = match label {
            // what was seen is late, or somebody else was faster; that happens on the best of days
            CONFLICT => return News::None,
            "unreachable" | "deadline" | "server" => AWAY,
            other => other,
        };
        let told = kind == AWAY && failing.values().any(|other| *other == AWAY);
        let before = failing.insert(resource.to_owned(), kind);
        if told || before == Some(kind) {
            News::None
        } else {
            News::Begins
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o01_an_outage_of_the_api_server_is_one_line() {
        let outages = Outages::default();
        assert_eq!(outages.news("a", Some("unreachable")), News::Begins);
        for label in ["unreachable", "deadline", "server"] {
            assert_eq!(outages.news("a", Some(label)), News::None);
            assert_eq!(outages.news("b", Some(label)), News::None);
        }
        assert_eq!(outages.news("a", None), News::None);
        assert_eq!(outages.news("b", None), News::Ends);
        assert_eq!(outages.news("b", None), News::None);
        assert_eq!(outages.news("b", Some("deadline")), News::Begins);
    }

    #[test]
    fn what_is_wrong_with_one_resource_is_told_of_each() {
        let outages = Outages::default();
        assert_eq!(outages.news("a", Some("forbidden")), News::Begins);
        assert_eq!(outages.news("b", Some("forbidden")), News::Begins);
        assert_eq!(outages.news("a", Some("forbidden")), News::None);
        assert_eq!(outages.news("a", Some("refused")), News::Begins);
        assert_eq!(outages.news("a", None), News::Ends);
    }
    #[test]
    fn what_is_merely_late_neither_begins_an_outage_nor_ends_one() {
        let outages = Outages::default();
        assert_eq!(outages.news("a", Some("conflict")), News::None);
        assert_eq!(outages.news("a", None), News::None);
        assert_eq!(outages.news("a", Some("forbidden")), News::Begins);
        assert_eq!(outages.news("a", Some("conflict")), News::None);
        assert_eq!(outages.news("a", Some("forbidden")), News::None);
        assert_eq!(outages.news("a", None), News::Ends);
    }
}
