//! Which rules and phases were seen.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Plans by their reason.
    pub whys: BTreeMap<&'static str, u64>,
    /// Passes by phase.
    pub phases: BTreeMap<&'static str, u64>,
    /// Faults by name.
    pub faults: BTreeMap<String, u64>,
    /// Everything else that is worth a count.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// One more.
    pub fn count(&mut self, what: &'static str, n: u64) {
        *self.counts.entry(what).or_default() += n;
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (why, n) in &other.whys {
            *self.whys.entry(why).or_default() += n;
        }
        for (name, n) in &other.phases {
            *self.phases.entry(name).or_default() += n;
        }
        for (name, n) in &other.faults {
            *self.faults.entry(name.clone()).or_default() += n;
        }
        for (name, n) in &other.counts {
            *self.counts.entry(name).or_default() += n;
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = |f: &mut fmt::Formatter<'_>, title: &str, rows: Vec<(&str, u64)>| {
            writeln!(f, "{title}:")?;
            rows.iter().try_for_each(|(name, n)| writeln!(f, "  {n:>10}  {name}"))
        };
        table(f, "plans", self.whys.iter().map(|(name, n)| (*name, *n)).collect())?;
        table(f, "phases", self.phases.iter().map(|(name, n)| (*name, *n)).collect())?;
        table(
            f,
            "faults",
            self.faults.iter().map(|(name, n)| (name.as_str(), *n)).collect(),
        )?;
        table(f, "seen", self.counts.iter().map(|(name, n)| (*name, *n)).collect())?;
        let missing = self.never_reached();
        if !missing.is_empty() {
            writeln!(f, "never reached: {}", missing.join("; "))?;
        }
        Ok(())
    }
}

/// Where the rules are.
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../operator/core/src/decide");

impl Coverage {
    /// Reasons of plans that stand in the source and were never seen. Nothing if the source is not there.
    pub fn never_reached(&self) -> Vec<String> {
        let mut all = known_whys();
        all.retain(|why| !self.whys.contains_key(why.as_str()));
        all
    }
}

/// Every reason that a rule can give, from the source: the last element of a pair that begins with steps.
fn known_whys() -> Vec<String> {
    let Ok(files) = std::fs::read_dir(RULES) else {
        return vec![];
    };
    let sources = files
        .flatten()
        .filter_map(|file| std::fs::read_to_string(file.path()).ok());
    let mut all: Vec<_> = sources.flat_map(|source| reasons(&source)).collect();
    all.sort();
    all.dedup();
    all
}

fn reasons(source: &str) -> Vec<String> {
    let pieces: Vec<_> = source.split('"').collect();
    let is_reason = |at: usize| {
        let (before, text, after) = (
            pieces[at - 1].trim_end(),
            pieces[at],
            pieces.get(at + 1).map_or("", |after| after.trim_start()),
        );
        let ends = after.strip_prefix(',').unwrap_or(after).trim_start().starts_with(')');
        let last = before.strip_suffix(',').unwrap_or_default();
        let word = last
            .rsplit(|c: char| c.is_whitespace() || c == '(')
            .next()
            .unwrap_or_default();
        let pairs = !last.is_empty() && !word.contains("Reason::") && !word.contains("Outcome::");
        pairs && ends && !text.contains('{') && text.starts_with(|c: char| c.is_lowercase())
    };
    (1..pieces.len())
        .step_by(2)
        .filter(|at| is_reason(*at))
        .map(|at| pieces[at].to_owned())
        .collect()
}
