//! What people ask for by annotations of the resource.

use std::collections::BTreeMap;

use crate::names;
use crate::observed::Paused;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Who should be master.
    pub switchover: Option<String>,
    /// When a restart was asked for.
    pub restart: Option<String>,
    /// What is to be left alone.
    pub paused: Paused,
    /// What makes no sense, each with what it should be.
    pub nonsense: Vec<String>,
}

/// Reads them. What makes no sense is not done, and said.
pub fn read(annotations: &BTreeMap<String, String>) -> Asked {
    let value = |name: &str| annotations.get(name).map(|value| value.trim());
    let mut asked = Asked {
        switchover: value(names::ANNOTATION_SWITCHOVER)
            .filter(|value| !value.is_empty())
            .map(str::to_owned),
        ..Asked::default()
    };
    match value(names::ANNOTATION_PAUSED) {
        None | Some("" | "false") => {}
        Some("true") => asked.paused = Paused::Planned,
        Some("all") => asked.paused = Paused::All,
        Some(other) => asked.nonsense.push(format!(
            "annotation {} says {other:?}; write \"true\" (nothing planned is done, a master that fails is replaced) or \"all\" (nothing is done)",
            names::ANNOTATION_PAUSED
        )),
    }
    match value(names::ANNOTATION_RESTART) {
        None | Some("") => {}
        Some(time) if time.parse::<jiff::Timestamp>().is_ok() => asked.restart = Some(time.to_owned()),
        Some(other) => asked.nonsense.push(format!(
            "annotation {} says {other:?}; write the time of the request, such as 2026-01-31T12:00:00Z",
            names::ANNOTATION_RESTART
        )),
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, value: &str) -> Asked {
        read(&[(name.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn what_makes_sense_is_asked() {
        assert_eq!(read(&BTreeMap::new()), Asked::default());
        assert_eq!(asked(names::ANNOTATION_PAUSED, "true").paused, Paused::Planned);
        assert_eq!(asked(names::ANNOTATION_PAUSED, "all").paused, Paused::All);
        assert_eq!(asked(names::ANNOTATION_PAUSED, "false"), Asked::default());
        let switchover = asked(names::ANNOTATION_SWITCHOVER, " redis-a-1 ").switchover;
        assert_eq!(switchover.as_deref(), Some("redis-a-1"));
        let time = "2026-01-31T12:00:00Z";
        assert_eq!(asked(names::ANNOTATION_RESTART, time).restart.as_deref(), Some(time));
    }

    #[test]
    fn nonsense_is_said_and_not_done() {
        for (name, value) in [(names::ANNOTATION_PAUSED, "yes"), (names::ANNOTATION_RESTART, "now")] {
            let asked = asked(name, value);
            assert_eq!((asked.paused, asked.restart), (Paused::No, None));
            assert!(
                asked.nonsense[0].contains(name) && asked.nonsense[0].contains(value),
                "{:?}",
                asked.nonsense
            );
        }
    }
}
