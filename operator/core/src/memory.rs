//! What one operator process remembers between passes. Losing it only delays.

use crate::observed::{Answer, Instance, Moment, Observed, Reach, Slice};
use crate::plan::Plan;
use crate::record::{Found, Phase};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Times and counts that no server and no record keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The term and phase of the last pass, and since when.
    pub phase: Option<(u64, Phase, Moment)>,
    /// Since when the recorded master's process is known to have ended.
    pub ended_since: Option<Moment>,
    /// The run id of a master whose address refuses connections ever since a member that was not frozen had lost it too.
    pub witnessed: Option<String>,
    /// Since when no process lives that holds what the record speaks of.
    pub nobody_since: Option<Moment>,
    /// This holder held the record.
    pub held: bool,
    /// It holds the record, and has seen the slice settled since, as of the record's term: no publication of anybody else is
    /// under way, nor of one that held the record in between.
    pub settled: bool,
    /// Since when another holds a record that this holder held, and the seq it had then.
    pub succeeded: Option<(u64, Moment)>,
    /// Since when there is no record and nobody answers as a master.
    pub recordless_since: Option<Moment>,
    /// A switchover that a person asked for, and since when something is in its way.
    pub asked: Option<(String, Moment)>,
    /// The run id of the serving master, and since when another one is preferred to it.
    pub preferable: Option<(String, Moment)>,
    /// When a switchover, or an election, ended last with the master that was there before.
    pub switch_failed: Option<Moment>,
    /// The run id of a master that answered in the middle of its election, and when.
    pub spared: Option<(String, Moment)>,
    /// Elections for a silent master that ended without a new one.
    pub attempts: Option<Attempts>,
    /// The run id of the recorded master, of which `heard` tells.
    pub heard_of: Option<String>,
    /// By run id: what a member heard of it last.
    pub heard: BTreeMap<String, Heard>,
    /// By run id: since when a member is known to be frozen.
    pub frozen: BTreeMap<String, Moment>,
    /// What members are measured against.
    pub mark: Option<crate::decide::Mark>,
    /// By run id: joining members that follow the master and have no link to it.
    pub linkless: BTreeMap<String, Linkless>,
    /// By pod uid: since when it cannot be tried, having no address.
    pub untried: BTreeMap<String, Moment>,
    /// By pod uid: since when it replies, and with no INFO: a script runs, most often.
    pub wordless: BTreeMap<String, Moment>,
    /// By pod uid: since when its container waits in a back-off.
    pub backing_off: BTreeMap<String, Moment>,
    /// By run id: commands that were sent to one that is not the master.
    pub misdirected: BTreeMap<String, Misdirected>,
    /// Pods that were labelled master, while they are seen as they were before.
    pub labelled: crate::decide::Labelled,
}

/// Elections that ended with the silent master still recorded, one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// The master's run id.
    pub run_id: String,
    /// How many; not counted beyond the longest pause.
    pub count: u32,
    /// When the last one ended.
    pub last: Moment,
}

impl Attempts {
    const LONGEST: Duration = Duration::from_secs(30);

    /// How long after the last one the next may begin: 1 s, 2 s, 4 s and so on, at most 30 s. Each freezes members for a
    /// while, and a master that lives all the same takes no writes meanwhile.
    pub fn pause(&self) -> Duration {
        let doubled = 1u32.checked_shl(self.count.saturating_sub(1)).unwrap_or(u32::MAX);
        Duration::from_secs(doubled.into()).min(Self::LONGEST)
    }
}

/// What a member heard of its master last, before it was frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The last moment at which that may have been.
    pub at: Moment,
    /// How many bytes of the history it had received then.
    pub received: u64,
}

/// A member that follows the master and does not reach it, or is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linkless {
    /// Since when.
    pub since: Moment,
    /// The same, for people.
    pub clock: Timestamp,
    /// When it was told last, or could have been.
    pub told: Moment,
}

impl Linkless {
    /// For so long that it will not come by itself.
    pub fn lasts(&self, now: Moment) -> bool {
        now.since(self.since) >= crate::decide::LINKLESS
    }

    /// It is to be told once more.
    pub fn is_due(&self, now: Moment) -> bool {
        now.since(self.told) >= crate::decide::TELL_AGAIN
    }
}

/// Commands that an instance refused because it is not the master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misdirected {
    /// How many there were at the last pass.
    pub count: u64,
    /// When more were counted last, since the first pass that saw it.
    pub grown: Option<Moment>,
    /// When more were counted first, since it is fenced.
    pub began: Option<Moment>,
    /// When its clients were sent away last.
    pub cut: Option<Moment>,
}

impl Memory {
    /// Remembers one pass. Call it after each observation, before the decision: times begin now if they began.
    pub fn note(&mut self, seen: &Observed) {
        let now = seen.now;
        self.labelled.note(seen);
        let serves = seen.instances.values().any(Instance::is_master);
        since(&mut self.recordless_since, seen.record == Found::Absent && !serves, now);
        let record = seen.record.record();
        let view = record.map(|record| crate::decide::View::new(seen, record));
        if let Some(record) = view.as_ref().map(|view| view.record) {
            let mine = record.holder == seen.holder;
            self.held |= mine;
            let before = self.settled;
            let settled = |slice: &Slice| crate::decide::is_settled(&View::new(seen, record), slice, before);
            self.settled = mine && seen.slice.as_ref().is_some_and(settled);
            match self.succeeded {
                _ if mine || !self.held => self.succeeded = None,
                Some((seq, _)) if seq == record.seq => {}
                Some(_) | None => self.succeeded = Some((record.seq, now)),
            }
        } else {
            self.settled = false;
        }
        self.mark = view.as_ref().and_then(|view| view.mark(self.mark.take()));
        if let Some(view) = &view {
            self.note_members(view);
        }
        self.linkless = view.as_ref().map(|view| self.linkless_at(view)).unwrap_or_default();
        let phase = view.as_ref().map(|view| (view.record.term, view.record.phase));
        let before = self.phase.filter(|(term, ..)| phase == Some((*term, Phase::Steady)));
        let came_from = |phase| before.is_some_and(|(_, before, _)| before == phase);
        let in_vain = came_from(Phase::Electing);
        if in_vain || came_from(Phase::Switching) {
            self.switch_failed = Some(now);
        }
        self.attempts = view.as_ref().and_then(|view| self.attempts_at(view, in_vain));
        if self.phase.map(|(term, phase, _)| (term, phase)) != phase {
            self.phase = phase.map(|(term, phase)| (term, phase, now));
        }
        let ended = view.as_ref().is_some_and(|view| self.has_ended(view));
        since(&mut self.ended_since, ended, now);
        since(
            &mut self.nobody_since,
            view.as_ref().is_some_and(View::nobody_lives),
            now,
        );
        let since_then = |before: &BTreeMap<String, Moment>, is: &dyn Fn(&Instance) -> bool| {
            let those = seen.instances.values().filter(|instance| is(instance));
            let since = those.map(|it| (it.uid.clone(), *before.get(&it.uid).unwrap_or(&now)));
            since.collect::<BTreeMap<_, _>>()
        };
        self.untried = since_then(&self.untried, &|it| it.reach == Reach::Untried);
        self.wordless = since_then(&self.wordless, &|it| matches!(it.reach, Reach::Alive(_)));
        self.backing_off = since_then(&self.backing_off, &|it| {
            it.container.waiting.as_deref() == Some("CrashLoopBackOff")
        });
        let over = view.as_ref().filter(|view| view.preferable().is_some());
        let over = over
            .and_then(|view| view.record.master.as_ref())
            .map(|master| &master.run_id);
        if self.preferable.as_ref().map(|(run_id, _)| run_id) != over {
            self.preferable = over.map(|run_id| (run_id.clone(), now));
        }
        let asked = view.as_ref().and_then(View::obstructed);
        if self.asked.as_ref().map(|(value, _)| value.as_str()) != asked {
            self.asked = asked.map(|value| (value.to_owned(), now));
        }
    }

    fn attempts_at(&mut self, view: &View, in_vain: bool) -> Option<Attempts> {
        let master = view.record.master.as_ref()?;
        if matches!(view.master(), Master::Serves(_) | Master::Alive(_)) {
            return None;
        }
        let before = self.attempts.take().filter(|it| it.run_id == master.run_id);
        if !in_vain {
            return before;
        }
        let count = before.map_or(0, |before| before.count).saturating_add(1);
        Some(Attempts {
            run_id: master.run_id.clone(),
            count: count.min(6),
            last: view.seen.now,
        })
    }

    fn linkless_at(&self, view: &View) -> BTreeMap<String, Linkless> {
        let (now, clock) = (view.seen.now, view.seen.clock);
        let begun = Linkless {
            since: now,
            clock,
            told: now,
        };
        let runs = view.linkless().map(|it| it.answer.replication.run_id.clone());
        runs.map(|run_id| {
            let known = self.linkless.get(&run_id).copied();
            (run_id, known.unwrap_or(begun))
        })
        .collect()
    }

    /// As a decision will find it, which reads this memory.
    fn has_ended(&self, view: &View) -> bool {
        let Some(master) = &view.record.master else {
            return false;
        };
        let witnessed = self.witnessed.as_ref() == Some(&master.run_id);
        view.master_has_ended() || (witnessed && view.is_refused(master).is_some())
    }

    fn note_members(&mut self, view: &View) {
        let now = view.seen.now;
        let Some(master) = &view.record.master else { return };
        if self.heard_of.as_ref() != Some(&master.run_id) {
            self.heard_of = Some(master.run_id.clone());
            self.heard.clear();
        }
        let answers = matches!(view.master(), Master::Serves(_) | Master::Alive(_));
        if answers && view.record.phase == Phase::Electing {
            self.spared = Some((master.run_id.clone(), now));
        }
        let members = || view.record.members.values().map(|member| &member.process);
        for it in members().filter_map(|process| view.living(process)) {
            let (r, run_id) = (&it.answer.replication, &it.answer.replication.run_id);
            if r.is_frozen() {
                self.note_frozen(run_id, r.offset, now);
                continue;
            }
            self.frozen.remove(run_id);
            match (last_heard(it.answer, master), &r.upstream) {
                (Some(at), Some(upstream)) => {
                    let heard = Heard {
                        // It said so at any moment between the question and now.
                        at: now.before(it.answer.asked.since(at)),
                        received: upstream.read_offset,
                    };
                    self.heard.insert(run_id.clone(), heard);
                }
                _ => drop(self.heard.remove(run_id)),
            }
        }
        self.heard
            .retain(|run_id, _| members().any(|process| process.run_id == *run_id));
        self.frozen
            .retain(|run_id, _| members().any(|process| process.run_id == *run_id));
    }

    /// This process has not looked for long: whoever was away may have been there meanwhile, and patience begins anew.
    /// What servers said, and what was done to them, stays as it was.
    pub fn slept(&mut self, now: Moment) {
        let absences = [
            &mut self.ended_since,
            &mut self.nobody_since,
            &mut self.recordless_since,
        ];
        let absences = absences.into_iter().filter_map(Option::as_mut);
        let successor = self.succeeded.iter_mut().map(|(_, since)| since);
        let pods = self.untried.values_mut().chain(self.backing_off.values_mut());
        let preferable = self.preferable.iter_mut().map(|(_, since)| since);
        for since in absences.chain(successor).chain(preferable).chain(pods) {
            *since = now;
        }
    }

    /// What it said before it was frozen holds until then if not a byte came in between.
    fn note_frozen(&mut self, run_id: &str, offset: u64, now: Moment) {
        if self.frozen.contains_key(run_id) {
            return;
        }
        self.frozen.insert(run_id.to_owned(), now);
        if self.heard.get(run_id).is_some_and(|heard| heard.received != offset) {
            self.heard.remove(run_id);
        }
    }

    /// Remembers what was answered, after the decision that compared it with the time before, and what was decided.
    pub fn settle(&mut self, seen: &Observed, plan: &Plan) {
        self.labelled.settle(plan);
        if let Found::Record(record) = &seen.record {
            let view = View::new(seen, record);
            self.mark = self.mark.take().filter(|mark| !view.mark_is_reached(mark));
            let refused = matches!(view.master(), Master::Ended(Proof::Refused));
            let run_id = record.master.as_ref().map(|master| master.run_id.clone());
            self.witnessed = run_id.filter(|_| refused);
        }
        for it in self.linkless.values_mut().filter(|it| it.is_due(seen.now)) {
            it.told = seen.now;
        }
        let answers = seen.instances.values().filter_map(crate::observed::Instance::answer);
        let before = std::mem::take(&mut self.misdirected);
        let cuts = |run_id: &str| {
            let mut steps = plan.steps.iter();
            steps.any(|step| matches!(step, crate::plan::Step::CutClients(who) if who.run_id == run_id))
        };
        let counted = |answer: &Answer| {
            let count = answer.replication.misdirected;
            let before = before.get(&answer.replication.run_id);
            let now = before.filter(|before| count > before.count).map(|_| seen.now);
            Misdirected {
                count,
                grown: now.or(before.and_then(|before| before.grown)),
                began: before
                    .and_then(|before| before.began)
                    .or(now)
                    .filter(|_| !answer.serves),
                cut: cuts(&answer.replication.run_id)
                    .then_some(seen.now)
                    .or(before.and_then(|before| before.cut)),
            }
        };
        self.misdirected = answers
            .map(|answer| (answer.replication.run_id.clone(), counted(answer)))
            .collect();
    }
}

use crate::decide::{Master, Proof, View, last_heard};

fn since(memory: &mut Option<Moment>, holds: bool, now: Moment) {
    if holds {
        memory.get_or_insert(now);
    } else {
        *memory = None;
    }
}
