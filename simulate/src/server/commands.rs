//! The operator's verbs.

use crate::faults;
use crate::message::{Message, Outcome, Verb};
use crate::network::{Cid, Who};
use crate::rules::Rule;
use crate::world::{World, text};
use redis_operator::redis::CallError;
use redis_operator_core::observed::Moment;
use redis_operator_core::record::Claim;

impl World {
    /// A call of the operator.
    pub(super) fn called(&mut self, number: usize, cid: Cid, call: u32, verb: Verb) {
        if verb != Verb::Probe {
            self.beside(faults::Moment::Called);
        }
        let loads = self.servers[number].loading.is_some();
        let outcome = if loads && verb != Verb::Probe && verb != Verb::CutPredecessors {
            Err(CallError::Alive("LOADING".to_owned()))
        } else {
            self.run_verb(number, Some(cid), verb)
        };
        self.send(cid, 1, Message::Reply(call, Box::new(outcome)));
    }

    /// Runs one verb.
    pub fn run_verb(&mut self, number: usize, cid: Option<Cid>, verb: Verb) -> Outcome {
        match verb {
            Verb::Probe => return Ok(Some(self.answer(number, Moment::default()))),
            Verb::AddUser(pod) => {
                self.servers[number].users.insert(pod);
            }
            Verb::DropUser(pod) => {
                self.servers[number].users.remove(&pod);
                let theirs = self.servers[number].replicas.iter().filter(|it| it.user == Some(pod));
                for cid in theirs.map(|it| it.cid).collect::<Vec<_>>() {
                    self.drop_replica(number, cid);
                }
            }
            Verb::Follow(address, user) => {
                self.servers[number].attaches_as = Some(user);
                self.follow(number, address);
            }
            Verb::Freeze => {
                if self.servers[number].upstream != 0 || self.servers[number].master {
                    self.servers[number].frozen_at = Some(self.now);
                }
                self.follow(number, 0);
            }
            Verb::Pause => self.pause_writes(number),
            Verb::Unpause => self.unpause_writes(number),
            Verb::Demote => {
                self.servers[number].frozen_at = Some(self.now);
                self.follow(number, 0);
                self.servers[number].serves = false;
                self.cut_off(number, None, |who| matches!(who, Who::Client(_)));
                self.unpause_writes(number);
            }
            Verb::Promote(claim, users) => return self.promote(number, &claim, users),
            Verb::Guard(replicas, lag) => {
                let it = &mut self.servers[number];
                (it.guard, it.guard_lag) = (replicas, lag);
                self.count_good(number);
            }
            Verb::Serve(open) => self.servers[number].serves = open,
            Verb::Priority(priority) => self.servers[number].priority = priority,
            Verb::CutClients => self.cut_off(number, None, |who| matches!(who, Who::Client(_))),
            Verb::CutPredecessors if !self.settings.holds(Rule::CutPredecessors) => {}
            Verb::CutPredecessors => self.cut_off(number, cid, |who| matches!(who, Who::Operator(..))),
        }
        Ok(None)
    }

    fn promote(&mut self, number: usize, claim: &Claim, users: Vec<u32>) -> Outcome {
        let was = self.servers[number].master;
        self.unfollow(number);
        let it = &mut self.servers[number];
        (it.guard, it.serves) = (0, true);
        it.users.extend(users);
        if !was {
            self.promoted(number);
        }
        let it = &self.servers[number];
        let as_claimed = text::run(number) == claim.process.run_id
            && it.id2.map(text::id).as_ref() == Some(&claim.id)
            && it.forked_at >= claim.offset;
        if as_claimed {
            Ok(None)
        } else {
            Err(CallError::NotAsClaimed(format!("{:?} at {}", it.id2, it.forked_at)))
        }
    }
}
