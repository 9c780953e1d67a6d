//! What each action does.

use super::{Action, ORPHAN, PODS, SLOTS, Way, World};
use crate::config::{Config, Rule};
use redis_operator_core::plan::Step;

impl World {
    /// Does it. The plan, if a pass decided one, is told.
    pub fn act(&mut self, action: Action, config: &Config) -> Option<&'static str> {
        let mut plan = None;
        if action.is_fault() {
            self.faults += 1;
        }
        match action {
            Action::Read(k) => self.read(usize::from(k), config),
            Action::Pass(k, fresh) => plan = self.begin_pass(usize::from(k), fresh, config),
            Action::Step(k) => {
                self.step(usize::from(k), config);
            }
            Action::HoldUp => self.hold_up(config),
            Action::Arrive => self.arrive(),
            Action::Succeed => {
                self.sessions += 1;
                self.lead(1 - usize::from(self.leader));
            }
            Action::Stop(k) => self.ops[usize::from(k)] = None,
            Action::Restart => self.lead(usize::from(self.leader)),
            Action::Tick(time) => self.let_pass(u64::from(time) * 1_000),
            Action::Scale(n) => self.wanted = n,
            Action::Change => self.spec = 1,
            Action::TakeBack => (self.spec, self.asked) = (0, true),
            Action::Ask => self.asked = true,
            Action::Outlive(g) => self.gone[usize::from(g)].outlived = true,
            Action::Reap => self.end(ORPHAN, false),
            Action::Heal => (self.cut, self.ways) = Default::default(),
            Action::Cut(i, how) => self.sever(usize::from(i), usize::from(how), config),
            Action::Attach(i)
            | Action::Sync(i)
            | Action::Receive(i)
            | Action::Notice(i)
            | Action::Write(i)
            | Action::Show(i)
            | Action::Start(i)
            | Action::Create(i)
            | Action::Remove(i)
            | Action::Resume(i)
            | Action::Crash(i, _)
            | Action::Hang(i)
            | Action::Force(i)
            | Action::Hand(i) => self.happen(action, usize::from(i), config),
        }
        self.settle();
        self.tidy(config);
        plan
    }

    fn begin_pass(&mut self, k: usize, fresh: [bool; 2], config: &Config) -> Option<&'static str> {
        let alone = self.ops[1 - k].is_none();
        if alone && (self.has_news(k) || self.ops[k].as_ref().is_some_and(|op| op.must_read)) {
            self.read(k, config);
        }
        self.pass(k, fresh, config)
    }

    fn happen(&mut self, action: Action, i: usize, config: &Config) {
        match action {
            Action::Attach(_) => {
                if let Some(m) = self.can_attach(i, config) {
                    self.attach(i, m);
                }
            }
            Action::Sync(_) => {
                if let Some(m) = self.can_sync(i) {
                    self.sync(i, m);
                }
            }
            Action::Receive(_) => {
                if let Some(data) = self.can_receive(i) {
                    let it = self.proc_mut(i);
                    (it.data, it.offset) = (data, it.offset + 1);
                }
            }
            Action::Notice(_) => self.lose_link(i),
            Action::Write(_) => self.write(i),
            Action::Show(_) => self.show(i),
            Action::Start(_) => self.start(i, config),
            Action::Create(_) => self.create(i, config),
            Action::Remove(_) => self.vanish(i),
            Action::Resume(_) => self.proc_mut(i).hung = false,
            Action::Crash(_, keep) => self.end(i, keep),
            Action::Hang(_) => self.proc_mut(i).hung = true,
            Action::Force(_) => self.force(i),
            Action::Hand(_) => self.become_master(i),
            _ => {}
        }
    }

    /// Time passes. Connections over which nothing comes are given up; a former leader stops in the long run.
    fn let_pass(&mut self, time: u64) {
        self.tick(time);
        for k in 0..2 {
            for i in 0..PODS {
                let dead = self.ways[k][i] != Way::Open || self.proc(i).is_none_or(|it| it.hung);
                if let Some(op) = self.ops[k].as_mut().filter(|_| dead) {
                    op.close(i);
                }
            }
        }
        let late = 1 - usize::from(self.leader);
        if time >= 30_000_000 && self.ops[late].as_ref().is_some_and(|op| op.plan.is_none()) {
            self.ops[late] = None;
        }
    }

    fn sever(&mut self, i: usize, how: usize, config: &Config) {
        let others: Vec<_> = (0..SLOTS).filter(|j| *j != i).collect();
        let (mut to, mut from) = (false, false);
        let ways = &mut self.ways;
        match how {
            0 => (to, from, ways[0][i], ways[1][i]) = (true, true, Way::Cut, Way::Cut),
            1 => (ways[0][i], ways[1][i]) = (Way::Cut, Way::Cut),
            2 => ways[0][i] = Way::Cut,
            3 => ways[1][i] = Way::Cut,
            4 => (to, from) = (true, true),
            5 => (to, ways[0][i], ways[1][i]) = (true, Way::Mute, Way::Mute),
            6 => (from, ways[0][i], ways[1][i]) = (true, Way::Cut, Way::Cut),
            7 | 8 => {
                (to, from) = (true, true);
                for j in others.iter().copied() {
                    ways[0][j] = Way::Cut;
                    if how == 7 {
                        ways[1][j] = Way::Cut;
                    }
                }
                if how == 8 {
                    ways[1][i] = Way::Cut;
                }
            }
            9 => {
                let j = (i + 1) % usize::from(config.pods);
                (self.cut[i][j], self.cut[j][i]) = (true, true);
            }
            10 => (ways[0][i], ways[1][i]) = (Way::Reject, Way::Reject),
            _ => {
                let j = (i + 1) % usize::from(config.pods);
                for k in others.iter().copied().filter(|k| *k != j) {
                    (ways[0][k], ways[1][k]) = (Way::Cut, Way::Cut);
                    for side in [i, j] {
                        (self.cut[side][k], self.cut[k][side]) = (true, true);
                    }
                }
            }
        }
        for j in others {
            self.cut[i][j] |= to;
            self.cut[j][i] |= from;
        }
    }

    /// Forgets what can play no part any more.
    fn tidy(&mut self, config: &Config) {
        for i in (0..PODS).filter(|_| !config.lags) {
            if self.slots[i].status_is_late() {
                self.show(i);
            }
        }
        self.hear();
        // it replaces no other version than the one that was read
        self.held_up.take_if(|it| it.slice.version != self.slice.version);
        // a holder applies the StatefulSet as soon as it has nothing better to do
        let holder = self.recorded().map(|record| crate::canon::number(&record.holder));
        let leads = self.ops[usize::from(self.leader)].as_ref().map(|op| op.holder);
        if leads.is_some() && holder == leads {
            self.set_holder = leads.unwrap_or(0);
        }
        if self.slots[ORPHAN].uid != 0 && self.slots[ORPHAN].proc.is_none() && self.slots[ORPHAN].ghost.is_none() {
            *self.slot_mut(ORPHAN) = super::Slot::none(0);
        }
        let late = 1 - usize::from(self.leader);
        if !config.late_passes && self.ops[late].as_ref().is_some_and(|op| !self.can_act(op, config)) {
            self.ops[late] = None;
        }
        for g in 0..self.gone.len() {
            if self.gone[g].uid == 0 {
                continue;
            }
            let uid = crate::canon::name('u', self.gone[g].uid);
            let named = self
                .recorded()
                .is_some_and(|record| record.processes().any(|process| process.uid == uid));
            let copies = self.ops.iter().flatten().filter_map(|op| op.known.as_ref());
            let named = named
                || copies
                    .into_iter()
                    .any(|doc| doc.value.processes().any(|process| process.uid == uid));
            if !named && self.at(self.gone[g].uid).is_none() {
                self.gone[g] = super::Gone::default();
            }
        }
    }

    /// It holds a plan whose next step is not in vain.
    fn can_act(&self, op: &super::Op, config: &Config) -> bool {
        match op.next() {
            None => false,
            Some(Step::Record(next)) => {
                config.out(Rule::Record) || self.recorded().is_none_or(|record| next.seq == record.seq + 1)
            }
            Some(_) => true,
        }
    }
}
