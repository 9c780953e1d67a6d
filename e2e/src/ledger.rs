//! Who had a title that only one may have, and when: the judgement of [`crate::observer`], without its watches.

use crate::health::Lives;
use crate::log::Micros;
use kube::runtime::watcher::Event;
use std::collections::{BTreeMap, BTreeSet};

/// Who claims a title that only one may have, object by object.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    title: &'static str,
    claims: BTreeMap<String, BTreeSet<String>>,
    listed: Option<BTreeMap<String, BTreeSet<String>>>,
    pub(crate) timeline: Vec<Entry>,
}

/// Who had a title from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Since when.
    pub at: Micros,
    /// Which title.
    pub title: &'static str,
    /// Who. More than one is a violation.
    pub holders: BTreeSet<String>,
}

impl Ledger {
    /// An empty ledger for this title.
    pub fn new(title: &'static str) -> Self {
        Self {
            title,
            ..Self::default()
        }
    }

    /// Takes one event of a watch: the object's name, and who claims the title by it.
    pub fn take(&mut self, at: Micros, event: Event<(String, BTreeSet<String>)>) {
        match event {
            Event::Apply((name, claimed)) => {
                self.claims.insert(name, claimed);
            }
            Event::Delete((name, _)) => {
                self.claims.remove(&name);
            }
            Event::Init => self.listed = Some(BTreeMap::new()),
            Event::InitApply((name, claimed)) => {
                self.listed.get_or_insert_default().insert(name, claimed);
            }
            Event::InitDone => {
                self.claims = self.listed.take().unwrap_or_default();
            }
        }
        let holders: BTreeSet<String> = self.claims.values().flatten().cloned().collect();
        // a list half received is no state that ever was
        if self.listed.is_none() && self.timeline.last().map(|entry| &entry.holders) != Some(&holders) {
            self.timeline.push(Entry {
                at,
                title: self.title,
                holders,
            });
        }
    }
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every change of a title, in order.
    pub timeline: Vec<Entry>,
    /// What became of each process.
    pub lives: Lives,
    /// How often a watch had to begin anew: what happened meanwhile was not seen.
    pub blind: usize,
}

impl Seen {
    /// Moments with two pods labelled as master, or two published addresses.
    pub fn violations(&self) -> Vec<&Entry> {
        self.timeline.iter().filter(|entry| entry.holders.len() > 1).collect()
    }

    /// Who had a title, one after the other. Nobody in between is nobody else.
    pub fn succession(&self, title: &str) -> Vec<&str> {
        let entries = self.timeline.iter().filter(|entry| entry.title == title);
        let mut holders: Vec<&str> = entries.flat_map(|entry| &entry.holders).map(String::as_str).collect();
        holders.dedup();
        holders
    }

    /// When this holder was first the only one with the title, after a moment.
    pub fn first(&self, title: &str, after: Micros) -> Option<&Entry> {
        let mut entries = self.timeline.iter();
        entries.find(|entry| entry.title == title && entry.at > after && entry.holders.len() == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLE: &str = "master";

    /// An object that claims the title, or does not.
    fn pod(name: &str, master: bool) -> (String, BTreeSet<String>) {
        (name.to_owned(), master.then(|| name.to_owned()).into_iter().collect())
    }

    fn seen(events: Vec<Event<(String, BTreeSet<String>)>>) -> Seen {
        let begun = vec![
            Event::Init,
            Event::InitApply(pod("a", true)),
            Event::InitApply(pod("b", false)),
            Event::InitDone,
        ];
        let mut ledger = Ledger::new(TITLE);
        for (at, event) in (0..).zip(begun.into_iter().chain(events)) {
            ledger.take(at, event);
        }
        Seen {
            timeline: ledger.timeline,
            lives: Lives::default(),
            blind: 0,
        }
    }

    #[test]
    fn two_at_once_are_a_violation_however_short() {
        let seen = seen(vec![Event::Apply(pod("b", true)), Event::Apply(pod("a", false))]);
        let violations = seen.violations();
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].holders, ["a".to_owned(), "b".to_owned()].into());
    }

    #[test]
    fn two_in_a_list_are_a_violation() {
        let seen = seen(vec![
            Event::Init,
            Event::InitApply(pod("a", true)),
            Event::InitApply(pod("b", true)),
            Event::InitDone,
        ]);
        assert_eq!(seen.violations().len(), 1);
    }

    #[test]
    fn two_claims_of_one_object_are_a_violation() {
        let both = BTreeSet::from(["10.0.0.1".to_owned(), "10.0.0.2".to_owned()]);
        assert_eq!(seen(vec![Event::Apply(("a".to_owned(), both))]).violations().len(), 1);
    }

    #[test]
    fn off_before_on_is_right() {
        let seen = seen(vec![Event::Apply(pod("a", false)), Event::Apply(pod("b", true))]);
        assert_eq!(seen.violations(), Vec::<&Entry>::new());
        assert_eq!(seen.timeline.len(), 3, "a, nobody, b");
        assert_eq!(seen.first(TITLE, 4).unwrap().holders, ["b".to_owned()].into());
    }

    #[test]
    fn who_comes_back_is_named_again() {
        let events = |names: &[&str]| {
            let on = names.iter().map(|name| Event::Apply(pod(name, true)));
            on.zip(names.iter().map(|name| Event::Apply(pod(name, false))))
                .flat_map(|(on, off)| [on, off])
                .collect()
        };
        assert_eq!(seen(events(&["a", "b"])).succession(TITLE), ["a", "b"]);
        assert_eq!(seen(events(&["a", "b", "a", "a"])).succession(TITLE), ["a", "b", "a"]);
        assert_eq!(seen(events(&["a"])).succession("other"), Vec::<&str>::new());
    }

    #[test]
    fn the_claim_of_a_deleted_object_is_gone() {
        let seen = seen(vec![Event::Delete(pod("a", true)), Event::Apply(pod("b", true))]);
        assert_eq!(seen.violations(), Vec::<&Entry>::new());
    }
}
