//! What can happen next.

use super::{ORPHAN, PODS, SLOTS, Way, World};
use crate::config::{Beginning, Config, Fault};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// An operator opens connections and then reads the record.
    Read(u8),
    /// An operator attaches what it may, observes and decides; whether its copies of the record and of the slice are fresh.
    Pass(u8, [bool; 2]),
    /// An operator does the next step of its plan.
    Step(u8),
    /// The leader's next step, a publication, is held up on its way, and nobody answers.
    HoldUp,
    /// It arrives.
    Arrive,
    /// The lease changes hands; the former leader does not know yet.
    Succeed,
    /// The former leader stops.
    Stop(u8),
    /// A replica attaches.
    Attach(u8),
    /// A full sync ends.
    Sync(u8),
    /// A replica receives one write.
    Receive(u8),
    /// A replica sees that its link is closed.
    Notice(u8),
    /// A client writes.
    Write(u8),
    /// Time passes, in milliseconds.
    Tick(u32),
    /// A pod's status says what is.
    Show(u8),
    /// Kubelet starts a container.
    Start(u8),
    /// The StatefulSet makes a pod.
    Create(u8),
    /// The StatefulSet takes a pod away that nobody wants or names.
    Remove(u8),
    /// Kubelet ends a process without a pod object.
    Reap,
    /// A kubelet has outlived a pod.
    Outlive(u8),
    /// The user wants this many.
    Scale(u8),
    /// The user asks for other pods.
    Change,
    /// The user takes that back, and asks for the one as master that was to be replaced first.
    TakeBack,
    /// The user asks for another master.
    Ask,
    /// A hung process goes on.
    Resume(u8),
    /// The network is whole again.
    Heal,
    /// A process ends, keeping its data or not.
    Crash(u8, bool),
    /// A process stops.
    Hang(u8),
    /// The network is cut at an instance, in one of [`CUTS`] ways.
    Cut(u8, u8),
    /// A pod object is deleted by force.
    Force(u8),
    /// REPLICAOF NO ONE by hand.
    Hand(u8),
    /// The operator process ends and another one leads.
    Restart,
}

/// Ways to cut the network at an instance.
pub const CUTS: [&str; 12] = [
    "from everybody but its clients",
    "from the operators",
    "from operator 0",
    "from operator 1",
    "from the other instances",
    "in the direction to the others and the operators",
    "in the direction from the others and the operators",
    "together with the operators from the others",
    "together with operator 0 from the others and operator 1",
    "from its successor",
    "by a firewall that rejects the operators",
    "together with its successor and the operators from the others",
];

impl Action {
    /// It needs nothing from outside: processes, operators and time go on.
    pub fn is_progress(self) -> bool {
        !self.is_fault()
            && !matches!(
                self,
                Self::Write(_)
                    | Self::HoldUp
                    | Self::Scale(_)
                    | Self::Change
                    | Self::TakeBack
                    | Self::Ask
                    | Self::Succeed
            )
    }

    /// It is one of the things that may go wrong.
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Crash(..) | Self::Hang(_) | Self::Cut(..) | Self::Force(_) | Self::Hand(_) | Self::Restart
        )
    }
}

fn small(i: usize) -> u8 {
    u8::try_from(i).unwrap_or(u8::MAX)
}

impl World {
    /// Everything that can happen next, always in the same order.
    pub fn actions(&self, config: &Config) -> Vec<Action> {
        let mut all = Vec::with_capacity(32);
        self.operators(config, &mut all);
        if self.held_up.is_some() {
            all.push(Action::Arrive);
        } else if self.may_hold_up && self.publishes().is_some() {
            all.push(Action::HoldUp);
        }
        self.replication(config, &mut all);
        self.kubelets(&mut all);
        if self.writes < config.writes {
            all.extend(
                (0..SLOTS)
                    .filter(|i| self.can_write(*i))
                    .map(|i| Action::Write(small(i))),
            );
        }
        let acts = self.ops[usize::from(self.leader)]
            .as_ref()
            .is_some_and(|op| op.plan.is_some());
        if !(config.prompt && acts) {
            let ticks = config.ticks.iter();
            all.extend(ticks.map(|time| Action::Tick(u32::try_from(*time).unwrap_or(0))));
        }
        match config.beginning {
            Beginning::Joining if self.wanted < config.pods => all.push(Action::Scale(config.pods)),
            Beginning::Leaving if self.wanted == config.pods => all.push(Action::Scale(config.pods - 1)),
            Beginning::Rolling if self.spec == 0 => all.push(Action::Change),
            Beginning::TakingBack if self.spec == 0 && !self.asked => all.push(Action::Change),
            Beginning::TakingBack if self.spec == 1 => all.push(Action::TakeBack),
            Beginning::Asking if !self.asked => all.push(Action::Ask),
            _ => {}
        }
        for i in 0..SLOTS {
            if self.proc(i).is_some_and(|it| it.hung) {
                all.push(Action::Resume(small(i)));
            }
        }
        if self.is_cut() {
            all.push(Action::Heal);
        }
        if self.faults < config.faults {
            self.failures(config, &mut all);
        }
        all
    }

    /// Something is cut.
    pub fn is_cut(&self) -> bool {
        self.cut.iter().flatten().any(|cut| *cut) || self.ways.iter().flatten().any(|way| *way != Way::Open)
    }

    fn operators(&self, config: &Config, all: &mut Vec<Action>) {
        for k in 0..2u8 {
            let at = usize::from(k);
            let Some(op) = &self.ops[at] else { continue };
            let late = k != self.leader;
            if late {
                all.push(Action::Stop(k));
            }
            if op.plan.is_some() {
                all.push(Action::Step(k));
                continue;
            }
            if late && !config.late_passes {
                continue;
            }
            let alone = self.ops[1 - at].is_none();
            let news = self.has_news(at) || op.must_read;
            if alone {
                all.push(Action::Pass(k, [true, true]));
                continue;
            }
            if news {
                all.push(Action::Read(k));
                continue;
            }
            let slice = op.slice.version == self.slice.version;
            for pair in [[true, true], [false, true], [true, false], [false, false]] {
                let useless = !pair[0] && self.is_fresh(at) || !pair[1] && slice;
                if !useless {
                    all.push(Action::Pass(k, pair));
                }
            }
        }
        let alone = self.ops[1 - usize::from(self.leader)].is_none();
        let acts = self.ops[usize::from(self.leader)]
            .as_ref()
            .is_some_and(|op| op.plan.is_some());
        if self.sessions < config.sessions && alone && (acts || config.late_passes) {
            all.push(Action::Succeed);
        }
    }

    fn replication(&self, config: &Config, all: &mut Vec<Action>) {
        for j in 0..SLOTS {
            let n = small(j);
            if self.can_attach(j, config).is_some() {
                all.push(Action::Attach(n));
            }
            if self.can_sync(j).is_some() {
                all.push(Action::Sync(n));
            }
            if self.can_receive(j).is_some() {
                all.push(Action::Receive(n));
            }
            if self.can_notice(j) {
                all.push(Action::Notice(n));
            }
        }
    }

    fn kubelets(&self, all: &mut Vec<Action>) {
        for i in 0..PODS {
            let (slot, n) = (&self.slots[i], small(i));
            if slot.status_is_late() {
                all.push(Action::Show(n));
            }
            if slot.uid != 0 && slot.proc.is_none() {
                all.push(Action::Start(n));
            }
            if slot.uid == 0 && slot.ordinal < self.wanted {
                all.push(Action::Create(n));
            }
            let names = |record: &redis_operator_core::record::Record| {
                record
                    .processes()
                    .any(|process| process.pod == super::observe::pod(slot))
            };
            if slot.uid != 0 && slot.ordinal >= self.wanted && !self.recorded().is_some_and(names) {
                all.push(Action::Remove(n));
            }
        }
        if self.slots[ORPHAN].proc.is_some() {
            all.push(Action::Reap);
        }
        for (g, gone) in self.gone.iter().enumerate() {
            let lives = self.at(gone.uid).is_some_and(|i| self.slots[i].proc.is_some());
            if gone.uid != 0 && !gone.outlived && !lives {
                all.push(Action::Outlive(small(g)));
            }
        }
    }

    fn failures(&self, config: &Config, all: &mut Vec<Action>) {
        for kind in config.kinds {
            for i in 0..PODS {
                let n = small(i);
                let lives = self.proc(i).is_some_and(|it| !it.hung);
                match kind {
                    Fault::Crash if self.proc(i).is_some() => all.push(Action::Crash(n, false)),
                    Fault::CrashKeeping if self.proc(i).is_some_and(|it| it.data != 0) => {
                        all.push(Action::Crash(n, true))
                    }
                    Fault::Hang if lives => all.push(Action::Hang(n)),
                    Fault::Cut if !self.is_cut() && self.slots[i].uid != 0 => {
                        all.extend(config.cuts.iter().map(|how| Action::Cut(n, *how)));
                    }
                    Fault::Force if self.slots[i].uid != 0 && self.slots[ORPHAN].uid == 0 => all.push(Action::Force(n)),
                    Fault::Hand if self.proc(i).is_some_and(|it| !it.hung && !it.master && it.host != 0) => {
                        all.push(Action::Hand(n));
                    }
                    _ => {}
                }
            }
            if *kind == Fault::Operator && self.ops[1 - usize::from(self.leader)].is_none() {
                all.push(Action::Restart);
            }
        }
    }
}
