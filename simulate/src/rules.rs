//! Rules that can be taken out of a run: what each of them prevents must then be found.
//!
//! Those of the core are there with the feature `rules-out` alone; the operator is never built with it.

use crate::run::{Given, many};
use crate::settings::Class;
use std::fmt;
use std::ops::Range;

#[cfg(feature = "rules-out")]
use redis_operator_core::rule::Rule as Core;

/// A rule that can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A process takes no write before the operator says so.
    FencedStart,
    /// Replicas authenticate, each as a user of its own.
    Users,
    /// A master without enough replicas takes no write.
    WriteGuard,
    /// WAIT counts those who have the write.
    Wait,
    /// The record is written by compare-and-set.
    RecordVersion,
    /// The slice is written by compare-and-set.
    SliceVersion,
    /// Pods are deleted and labelled with the version that was seen.
    PodVersion,
    /// The StatefulSet is applied with the version that was read.
    SetVersion,
    /// Predecessors are cut off before a connection is used.
    CutPredecessors,
    /// The record is read again where a successor may have written it.
    ReadAgain,
    /// A write of the slice to which nobody answered leaves it in doubt.
    Doubt,
    /// One of the decisions.
    #[cfg(feature = "rules-out")]
    Core(Core),
}

/// One line for each: the rule, its name for `--without`, the explorer's row for it, and what it says.
type Line = (Rule, &'static str, &'static str, &'static str);

const SHELL: &[Line] = &[
    (
        Rule::FencedStart,
        "fenced-start",
        "no_fence",
        "a process takes no write before the operator says so",
    ),
    (
        Rule::Users,
        "users",
        "no_users",
        "replicas authenticate, each as a user of its own",
    ),
    (
        Rule::WriteGuard,
        "write-guard",
        "",
        "a master without enough replicas takes no write",
    ),
    (
        Rule::Wait,
        "wait",
        "",
        "WAIT counts who has the write, not who is there",
    ),
    (
        Rule::RecordVersion,
        "record-version",
        "late_record",
        "the record is written by compare-and-set",
    ),
    (
        Rule::SliceVersion,
        "slice-version",
        "late_slice",
        "the slice is written by compare-and-set",
    ),
    (
        Rule::PodVersion,
        "pod-version",
        "late_delete",
        "pods are deleted and labelled with the version that was seen",
    ),
    (
        Rule::SetVersion,
        "set-version",
        "",
        "the StatefulSet is applied with the version that was read",
    ),
    (
        Rule::CutPredecessors,
        "cut-predecessors",
        "no_cut_pred",
        "predecessors are cut off before a connection is used",
    ),
    (
        Rule::ReadAgain,
        "read-again",
        "read_first",
        "the record is read again after a connection was opened, and where the slice is not settled",
    ),
    (
        Rule::Doubt,
        "doubt",
        "no_doubt",
        "after a write of the slice to which nobody answered it is written before anything else",
    ),
];

#[cfg(feature = "rules-out")]
const CORE: &[Line] = &[
    (
        Rule::Core(Core::Quorum),
        "quorum",
        "no_quorum",
        "R + max(E, 1) > N before an election goes on",
    ),
    (
        Rule::Core(Core::Freeze),
        "freeze",
        "no_freeze",
        "members are frozen before they are compared",
    ),
    (
        Rule::Core(Core::Caught),
        "caught",
        "no_barrier",
        "E members have the data before E rises",
    ),
    (
        Rule::Core(Core::Left),
        "left",
        "leave_at_once",
        "the others have what a leaving member had before it is recorded away",
    ),
    (
        Rule::Core(Core::GuardFirst),
        "guard-first",
        "e_first",
        "the guard is set before E rises",
    ),
    (
        Rule::Core(Core::RecordFirst),
        "record-first",
        "act_first",
        "what is announced is recorded before it is done",
    ),
    (
        Rule::Core(Core::Departed),
        "departed",
        "",
        "a pod object that is gone proves nothing by itself",
    ),
    (
        Rule::Core(Core::Diverged),
        "diverged",
        "past_p",
        "past P under the id before is diverged",
    ),
    (
        Rule::Core(Core::Joining),
        "joining",
        "",
        "joining members that have the data are candidates",
    ),
    (
        Rule::Core(Core::Touch),
        "touch",
        "no_touch",
        "a new holder writes an unsettled slice before anything else",
    ),
    (
        Rule::Core(Core::Newcomers),
        "newcomers",
        "no_newcomers",
        "a pod is written to before the record names it",
    ),
    (
        Rule::Core(Core::CutOff),
        "cut-off",
        "no_cut_off",
        "a leaving member is cut off at the master",
    ),
];

#[cfg(not(feature = "rules-out"))]
const CORE: &[Line] = &[];

fn lines() -> impl Iterator<Item = &'static Line> {
    SHELL.iter().chain(CORE)
}

impl Rule {
    /// The rule of this name.
    ///
    /// # Errors
    /// There is none, in this program at least: a sentence with those that there are.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = lines().find(|line| line.1 == name).map(|line| line.0);
        found.ok_or_else(|| {
            let all: Vec<_> = lines().map(|line| line.1).collect();
            let core = if CORE.is_empty() {
                "; those of the core need a build with --features rules-out"
            } else {
                ""
            };
            format!(
                "{name:?} is no rule that can be taken out: write one of {}{core}",
                all.join(", ")
            )
        })
    }
}

/// Takes a rule of the core out of this process, or puts all of them back.
pub(crate) fn take_out(rule: Option<Rule>) {
    #[cfg(feature = "rules-out")]
    redis_operator_core::rule::take_out(match rule {
        Some(Rule::Core(rule)) => Some(rule),
        _ => None,
    });
    #[cfg(not(feature = "rules-out"))]
    let _ = rule;
}

/// What became of a rule that was taken out.
pub struct Row {
    line: &'static Line,
    class: Option<Class>,
    tried: u64,
    found: Option<(u64, String)>,
}

/// Every rule taken out in its turn, each up to the first of these seeds that breaks something. Where nothing does, and the
/// explorer has no row for it either, once more with single failures alone, for which there are more promises.
pub fn rows(seeds: &Range<u64>, threads: Option<usize>) -> impl Iterator<Item = Row> {
    lines().map(move |line| {
        let any = row(line, None, seeds, threads);
        if any.found.is_some() || !line.2.is_empty() {
            return any;
        }
        row(line, Some(Class::Single), seeds, threads)
    })
}

fn row(line: &'static Line, class: Option<Class>, seeds: &Range<u64>, threads: Option<usize>) -> Row {
    let without = Some(line.0);
    let sum = many(seeds.clone(), Given { class, without }, threads, false);
    let found = sum.broken.into_iter().next();
    let tried = found.as_ref().map_or(sum.runs, |(seed, _)| seed - seeds.start + 1);
    Row {
        line,
        class,
        tried,
        found,
    }
}

/// The head of the table.
pub const HEAD: &str = "| Rule | | First failing seed | What broke | Seeds |\n|---|---|---|---|---|";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name, explored, says) = self.line;
        let (seed, what) = match &self.found {
            Some((seed, what)) if self.class.is_some() => (format!("{seed}, of `--class single`"), what.clone()),
            Some((seed, what)) => (seed.to_string(), what.clone()),
            None if explored.is_empty() => (String::new(), "nothing was seen".to_owned()),
            None => (
                String::new(),
                format!("nothing was seen; the explorer shows it: {explored}"),
            ),
        };
        write!(f, "| {name} | {says} | {seed} | {what} | {} |", self.tried)
    }
}
