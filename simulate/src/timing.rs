//! When each fault comes.

use crate::event::Event;
use crate::faults::Moment;
use crate::world::{Time, World};

/// A fault that waits for something to happen does not wait longer.
const SOON: Time = 3_000_000;

impl World {
    /// Before anything happens.
    pub fn begin_plan(&mut self) {
        self.next_fault();
    }

    /// Sees to it that the next fault comes. True: all are over.
    pub fn next_fault(&mut self) -> bool {
        if self.plan.armed {
            return false;
        }
        let begun = self.plan.begun;
        let Some(fault) = self.plan.faults.get(begun) else {
            return self.plan.open == 0;
        };
        // the same length of rest for each, so that all caches and counters have settled
        let well = self
            .ledger
            .well_since
            .is_some_and(|since| self.now - since >= 1_000_000);
        if fault.waits && (!well || self.plan.open > 0) {
            return false;
        }
        let (at, action) = (self.now + fault.after, fault.action.clone());
        self.plan.armed = true;
        self.plan.beside = fault.moment.map(|moment| (moment, at));
        let at = if self.plan.beside.is_some() { at + SOON } else { at };
        self.schedule(at, Event::Fault(begun, Box::new(action)));
        false
    }

    /// Something happens beside which the next fault may have been waiting to come.
    pub fn beside(&mut self, moment: Moment) {
        let now = self.now;
        if self
            .plan
            .beside
            .take_if(|(it, from)| *it == moment && *from <= now)
            .is_none()
        {
            return;
        }
        let Some(fault) = self.fault(self.plan.begun) else {
            return;
        };
        let (number, action) = (self.plan.begun, fault.action.clone());
        let pause = self.random.pick(&[1, 300, 3_000, 30_000]);
        let pause = self.random.below(pause);
        self.schedule(now + pause, Event::Fault(number, Box::new(action)));
    }
}
