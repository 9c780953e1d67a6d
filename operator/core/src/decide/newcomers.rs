//! Whoever the record names for the first time is written to before.
//!
//! A deletion of its pod may be on its way, of a leader that has lost its lease or of this one, to which nobody answered: it
//! was decided while the record did not name that pod, and holds for the pod as it was then.

use crate::observed::{Instance, Observed};
use crate::plan::Step;
use crate::rule::{self, Rule};

/// Puts a write to each of these pods before the record in `steps`.
pub(super) fn touch(seen: &Observed, steps: &mut Vec<Step>) {
    let record = steps.iter().enumerate().find_map(|(at, step)| match step {
        Step::Record(next) => Some((at, next)),
        _ => None,
    });
    let Some((at, next)) = record.filter(|_| rule::on(Rule::Newcomers)) else {
        return;
    };
    let known = |it: &&Instance| seen.record.record().is_some_and(|record| record.names(&it.uid));
    let named = seen.instances.values().filter(|it| next.names(&it.uid));
    let touches: Vec<_> = named.filter(|it| !known(it)).map(Step::touch).collect();
    steps.splice(at..at, touches);
}
