//! What one operator process remembers between passes. Losing it only delays.

use crate::observed::{Moment, Observed};
use crate::record::{Found, Phase};
use std::collections::BTreeMap;

/// Times and counts that no server and no record keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The term and phase of the last pass, and since when.
    pub phase: Option<(u64, Phase, Moment)>,
    /// Since when the recorded master's process is known to have ended.
    pub ended_since: Option<Moment>,
    /// Since when no process lives that holds what the record speaks of.
    pub nobody_since: Option<Moment>,
    /// This holder held the record.
    pub held: bool,
    /// Since when another holds a record that this holder held, and the seq it had then.
    pub succeeded: Option<(u64, Moment)>,
    /// Since when there is no record and nobody answers as a master.
    pub recordless_since: Option<Moment>,
    /// What members are measured against.
    pub mark: Option<crate::decide::Mark>,
    /// By pod uid: since when its container waits in a back-off.
    pub backing_off: BTreeMap<String, Moment>,
    /// By run id: misdirected commands counted at the last pass.
    pub misdirected: BTreeMap<String, u64>,
}

impl Memory {
    /// Remembers one pass. Call it after each observation, before the decision: times begin now if they began.
    pub fn note(&mut self, seen: &Observed) {
        let now = seen.now;
        let serves = seen.instances.values().any(crate::observed::Instance::is_master);
        since(&mut self.recordless_since, seen.record == Found::Absent && !serves, now);
        let view = match &seen.record {
            Found::Record(record) => Some(crate::decide::View::new(seen, record)),
            Found::Absent | Found::Newer(_) | Found::Nonsense(_) => None,
        };
        if let Some(record) = view.as_ref().map(|view| view.record) {
            let mine = record.holder == seen.holder;
            self.held |= mine;
            match self.succeeded {
                _ if mine || !self.held => self.succeeded = None,
                Some((seq, _)) if seq == record.seq => {}
                Some(_) | None => self.succeeded = Some((record.seq, now)),
            }
        }
        self.mark = view.as_ref().and_then(|view| view.mark(self.mark.take()));
        let phase = view.as_ref().map(|view| (view.record.term, view.record.phase));
        if self.phase.map(|(term, phase, _)| (term, phase)) != phase {
            self.phase = phase.map(|(term, phase)| (term, phase, now));
        }
        since(
            &mut self.ended_since,
            view.as_ref().is_some_and(View::master_has_ended),
            now,
        );
        since(
            &mut self.nobody_since,
            view.as_ref().is_some_and(View::nobody_lives),
            now,
        );
        let backing_off = |i: &&crate::observed::Instance| i.container.waiting.as_deref() == Some("CrashLoopBackOff");
        let waiting = seen.instances.values().filter(backing_off);
        self.backing_off = waiting
            .map(|i| (i.uid.clone(), *self.backing_off.get(&i.uid).unwrap_or(&now)))
            .collect();
    }

    /// Remembers what was answered, after the decision that compared it with the time before.
    pub fn settle(&mut self, seen: &Observed) {
        if let Found::Record(record) = &seen.record {
            let view = View::new(seen, record);
            self.mark = self.mark.take().filter(|mark| !view.mark_is_reached(mark));
        }
        let answers = seen.instances.values().filter_map(crate::observed::Instance::answer);
        self.misdirected = answers
            .map(|a| (a.replication.run_id.clone(), a.replication.misdirected))
            .collect();
    }
}

use crate::decide::View;

fn since(memory: &mut Option<Moment>, holds: bool, now: Moment) {
    if holds {
        memory.get_or_insert(now);
    } else {
        *memory = None;
    }
}
