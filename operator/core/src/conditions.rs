//! Conditions: one entry per type, whose transition time changes only with its status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What a condition shall say.
pub struct Wanted {
    /// Type, such as `Ready`.
    pub type_: &'static str,
    /// True or False.
    pub holds: bool,
    /// One CamelCase word for machines.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// Builds the list from what is wanted and what was there. An entry that says the same keeps its transition time;
/// times are whole seconds, so that one read back equals the one written.
pub fn merge(before: &[Condition], wanted: Vec<Wanted>, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let entry = |wanted: Wanted| {
        let status = if wanted.holds { "True" } else { "False" };
        let same = before.iter().find(|c| c.type_ == wanted.type_ && c.status == status);
        Condition {
            type_: wanted.type_.to_owned(),
            status: status.to_owned(),
            reason: wanted.reason,
            message: wanted.message,
            observed_generation: generation,
            last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        }
    };
    wanted.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(holds: bool) -> Vec<Wanted> {
        vec![Wanted {
            type_: "Ready",
            holds,
            reason: "R".into(),
            message: "m".into(),
        }]
    }

    #[test]
    fn the_transition_time_changes_only_with_the_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = merge(&[], ready(false), Some(1), at(10));
        let same = merge(&first, ready(false), Some(2), at(20));
        assert_eq!(same[0].last_transition_time, Time(at(10)));
        assert_eq!(same[0].observed_generation, Some(2));
        let changed = merge(&same, ready(true), Some(2), at(30));
        assert_eq!(changed[0].last_transition_time, Time(at(30)));
    }
}
