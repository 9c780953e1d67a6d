//! `decide(&Observed) -> Plan`: a chain of rules, the first that speaks wins.
//!
//! Each rule is one file and reads the observation through a [`View`]. A rule may leave notes for people and ask to be
//! woken; it speaks by returning steps.

mod adopt;
mod data;
mod elect;
mod evidence;
mod guard;
mod heal;
mod hold;
mod join;
mod labels;
mod learn;
mod leave;
mod newcomers;
mod priority;
mod progress;
mod promote;
mod publish;
mod restart;
mod roll;
mod silence;
mod start;
mod suspect;
mod switch;
mod view;
mod wish;

pub use evidence::{Master, Proof};
pub(crate) use guard::target as quorum;
pub(crate) use hold::is_settled;
pub(crate) use join::{LINKLESS, TELL_AGAIN};
pub use labels::Labelled;
pub use progress::Mark;
pub use silence::Silence;
pub(crate) use silence::last_heard;
pub use view::View;

use crate::observed::{Observed, Paused};
use crate::plan::{Note, Plan, Reason, Step};
use crate::record::{Found, Phase, Record};
use crate::rule::{self, Rule};
use std::time::Duration;

/// What one rule says: steps and why, or nothing.
type Say = Option<(Vec<Step>, &'static str)>;

/// The rules, in the order in which they are asked.
const RULES: [fn(&View, &mut Aside) -> Say; 23] = [
    hold::take_over,
    publish::publish,
    hold::touch_slice,
    hold::forget,
    heal::replace_outdated_if_nobody_lives,
    restart::restart,
    suspect::suspect,
    elect::elect,
    promote::promote,
    heal::send_away,
    wish::answer,
    switch::switch,
    leave::leave,
    join::join,
    guard::guard,
    learn::learn,
    priority::tell,
    heal::heal,
    labels::label,
    hold::use_up,
    heal::replace_outdated,
    heal::replace_stuck,
    roll::roll,
];

/// The rules that end what was begun, and begin nothing.
const FINISH: [fn(&View, &mut Aside) -> Say; 8] = [
    hold::take_over,
    publish::publish,
    hold::touch_slice,
    |view, aside| {
        let begun = view.record.phase != Phase::Steady;
        begun.then(|| restart::restart(view, aside)).flatten()
    },
    elect::elect,
    promote::promote,
    switch::switch,
    hold::thaw,
];

/// What rules leave behind without speaking.
#[derive(Default)]
pub struct Aside {
    notes: Vec<Note>,
    wake: Option<Duration>,
}

impl Aside {
    fn note(&mut self, reason: Reason, message: impl Into<String>) {
        self.notes.push(Note {
            reason,
            message: message.into(),
        });
    }

    /// Whoever is asked to name a pod by an annotation that is there and was used has to remove it first.
    fn explain(&mut self, record: &Record, seen: &Observed) {
        let annotation = crate::names::ANNOTATION_ELECT;
        let used = record.elected.is_some() && record.elected == seen.desired.elect;
        for note in self.notes.iter_mut().filter(|_| used) {
            if note.message.contains(annotation) {
                note.message.push_str(&format!(
                    ". The annotation that is there was used and counts no more: remove it first (kubectl annotate redis NAME {annotation}-)"
                ));
            }
        }
    }

    fn wake(&mut self, after: Duration) {
        self.wake = Some(self.wake.map_or(after, |earlier| earlier.min(after)));
    }
}

/// What the annotation means at present, for people.
pub(crate) fn paused(seen: &Observed) -> &'static str {
    match seen.desired.paused {
        Paused::No => "everything is done that there is to do",
        Paused::Planned => "nothing planned is done, though a master that fails is replaced",
        Paused::All if is_left_alone(seen) => "nothing is done, not even where the master fails",
        Paused::All => {
            "the change of master that has begun is brought to an end, and then nothing is done, not even where the master fails"
        }
    }
}

/// Paused altogether, and nothing is under way that would hold clients up for as long as nobody ends it.
fn is_left_alone(seen: &Observed) -> bool {
    let record = seen.record.record();
    let under_way = record.is_some_and(|record| hold::is_under_way(&View::new(seen, record)));
    seen.desired.paused == Paused::All && !under_way
}

/// Decides what to do next. Pure: the same observation gives the same plan.
pub fn decide(seen: &Observed) -> Plan {
    let mut aside = Aside::default();
    if seen.desired.deleting {
        return Plan::default();
    }
    for what in &seen.desired.nonsense {
        aside.note(Reason::AnnotationUnclear, what.clone());
    }
    if seen.desired.paused != Paused::No {
        let text = format!(
            "{}, until the annotation redis-operator.dev/paused is removed",
            paused(seen)
        );
        aside.note(Reason::Paused, text);
    }
    let said = match &seen.record {
        _ if is_left_alone(seen) => None,
        Found::Record(record) => {
            let view = View::new(seen, record);
            let rules = match seen.desired.paused {
                Paused::All => FINISH.as_slice(),
                Paused::No | Paused::Planned => RULES.as_slice(),
            };
            rules.iter().find_map(|rule| rule(&view, &mut aside))
        }
        Found::Absent => start::start(seen, &mut aside),
        Found::Newer(version) => {
            let text = format!(
                "status.record has version {version}; this operator knows up to {}: it only watches. Run the newer operator again.",
                crate::record::VERSION
            );
            aside.note(Reason::RecordOfNewerVersion, text);
            None
        }
        Found::Nonsense(what) => {
            let text = format!(
                "status.record cannot be used: {what}. Nothing is promoted on its word. Remove it (kubectl patch redis NAME --subresource=status --type=json -p '[{{\"op\":\"remove\",\"path\":\"/status/record\"}}]'): the serving master is then adopted."
            );
            aside.note(Reason::RecordUnreadable, text);
            None
        }
    };
    if let Found::Record(record) = &seen.record {
        aside.explain(record, seen);
    }
    let (mut steps, why) = said.unwrap_or_default();
    if !rule::on(Rule::RecordFirst) {
        let first = usize::from(!steps.is_empty());
        steps.rotate_left(first);
    }
    newcomers::touch(seen, &mut steps);
    Plan {
        steps,
        why,
        wake: aside.wake,
        notes: aside.notes,
    }
}
