//! What an operator sees: the core's `Observed`, from the world as its connections and copies show it.

use super::operator::{Found, Op};
use super::server::Link;
use super::{PODS, Proc, Published, SLOTS, Slot, World};
use crate::canon::{Doc, name};
use crate::config::{Config, Rule};
use crate::memo::{self, Decided};
use redis_operator_core::decide::decide;
use redis_operator_core::memory::Memory;
use redis_operator_core::names;
use redis_operator_core::observed::Slice;
use redis_operator_core::observed::{Answer, Container, Departed, Desired, Instance, Moment, Observed, Reach};
use redis_operator_core::record::Found as FoundRecord;
use redis_operator_core::replication::{NOWHERE, Replication, Role, Upstream};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one write in the stream.
const WRITE: u64 = 10;

impl World {
    /// An operator attaches what it may, observes and decides; what it decides it carries out step by step. With `fresh`
    /// its caches of the record and of the slice have caught up.
    pub fn pass(&mut self, k: usize, fresh: [bool; 2], config: &Config) -> Option<&'static str> {
        if fresh[0] {
            self.refresh(k);
        }
        if fresh[1] {
            let slice = self.slice;
            let op = self.ops[k].as_mut()?;
            op.slice = slice;
            let record = op.known.as_ref().map(|doc| &doc.value);
            let settled = slice_of(op).is_some_and(|slice| slice.is_settled(&name('h', op.holder), record));
            if !settled && !config.out(Rule::SliceTells) {
                self.refresh(k);
            }
        }
        let op = self.ops[k].as_ref()?;
        let mine = op
            .known
            .as_ref()
            .is_none_or(|doc| doc.value.holder == name('h', op.holder));
        if mine {
            self.attach_all(k, config);
        }
        self.look(k);
        let decided = memo::decided(self.view(k, config)?, || self.decided(k, config))?;
        let op = self.ops[k].as_mut()?;
        op.memory = decided.memory;
        op.connections.iter_mut().for_each(|it| it.read = false);
        op.plan = (!decided.steps.is_empty()).then_some(super::Held {
            steps: decided.steps,
            at: 0,
        });
        Some(decided.why)
    }

    fn decided(&self, k: usize, config: &Config) -> Option<Decided> {
        let mut seen = self.observed(k, config)?;
        let before = &self.ops[k].as_ref()?.memory;
        let mut memory: Memory = before.value.clone();
        memory.note(&seen);
        seen.memory = memory.clone();
        let plan = decide(&seen);
        memory.settle(&seen, &plan);
        let same = before.value == memory;
        Some(Decided {
            memory: if same { Arc::clone(before) } else { Doc::new(memory) },
            steps: plan.steps.into_iter().map(Doc::new).collect(),
            why: plan.why,
        })
    }

    /// A hash of everything that [`observed`](Self::observed) reads.
    fn view(&self, k: usize, config: &Config) -> Option<u64> {
        let op = self.ops[k].as_ref()?;
        let mut hash = DefaultHasher::new();
        self.slots[..PODS].hash(&mut hash);
        (config.policy as u8, config.mask(), config.wish()).hash(&mut hash);
        (self.gone, self.wanted, self.spec, self.asked, self.set_holder, self.now).hash(&mut hash);
        (op.known.as_ref().map(|doc| doc.hash), op.memory.hash).hash(&mut hash);
        (
            op.holder,
            op.slice,
            op.in_doubt,
            op.connections,
            op.found,
            op.heard,
            op.last,
        )
            .hash(&mut hash);
        Some(hash.finish())
    }

    fn observed(&self, k: usize, config: &Config) -> Option<Observed> {
        let op = self.ops[k].as_ref()?;
        let pods = (0..PODS).filter(|i| self.slots[*i].uid != 0);
        let instances: BTreeMap<_, _> = pods
            .map(|i| self.instance(k, i))
            .map(|it| (it.pod.clone(), it))
            .collect();
        let record = match &op.known {
            Some(doc) => FoundRecord::Record(Box::new(doc.value.clone())),
            None => FoundRecord::Absent,
        };
        let named =
            |uid: u16| matches!(&record, FoundRecord::Record(r) if r.processes().any(|p| p.uid == name('u', uid)));
        let gone = self.gone.iter().filter(|gone| gone.uid != 0 && named(gone.uid));
        Some(Observed {
            desired: Desired {
                switchover: self.asked.then(|| config.wish().to_owned()),
                ..Desired::new(u32::from(self.wanted), config.policy, Duration::from_secs(2), false)
            },
            holder: name('h', op.holder),
            departed: gone.map(departed).collect(),
            record,
            instances,
            set_holder: Some(name('h', self.set_holder)),
            slice: slice_of(op),
            memory: Memory::default(),
            now: Moment(self.now),
            clock: jiff::Timestamp::UNIX_EPOCH,
        })
    }

    fn instance(&self, k: usize, i: usize) -> Instance {
        let slot = &self.slots[i];
        let op = self.ops[k].as_ref();
        let found = op.map_or(Found::Silent(false), |op| op.found[i]);
        let heard = Moment(op.map_or(0, |op| op.heard[i]));
        let answers = slot.proc.as_ref().filter(|_| found == Found::Answered);
        let reach = match (found, answers) {
            (_, Some(it)) => Reach::Answers(Box::new(self.answer(it))),
            (Found::Refused(since), None) => Reach::Refused { since: Moment(since) },
            (Found::Silent(accepts), None) => Reach::Silent { since: heard, accepts },
            (Found::Answered, None) => Reach::Untried,
        };
        Instance {
            pod: pod(slot),
            uid: name('u', slot.uid),
            resource_version: name('v', slot.version),
            ordinal: u32::from(slot.ordinal),
            node: format!("node-{}", slot.ordinal),
            address: name('a', slot.uid),
            label: slot.label.map(str::to_owned),
            deleting: slot.deleting,
            container: Container {
                id: (slot.shown != 0).then(|| name('c', slot.shown)),
                started_micros: slot.running.then(|| started(slot.shown)),
                terminated: (slot.ended != 0).then(|| name('c', slot.ended)).into_iter().collect(),
                waiting: None,
                restarts: 0,
            },
            outdated: slot.spec != self.spec,
            stale: slot.spec != self.spec,
            evacuating: None,
            wanted_priority: Some(100),
            trouble: None,
            last: op.and_then(|op| self.last(op, i)),
            reach,
            attached: op.is_some_and(|op| op.connections[i].attached),
        }
    }

    /// What it answered last: only who it was and how it was guarded is remembered.
    fn last(&self, op: &super::Op, i: usize) -> Option<Answer> {
        let last = Some(op.last[i]).filter(|last| last.run != 0)?;
        let mut it = Proc::start(last.run, 0);
        (it.guard, it.lag) = (last.guard, last.lag);
        let asked = Moment(op.heard[i]);
        Some(Answer {
            asked,
            still_since: asked,
            ..self.answer(&it)
        })
    }

    fn answer(&self, it: &Proc) -> Answer {
        let seconds = |since: u64| (self.now - since) / 1_000_000;
        let (link_up, syncing, down) = match it.link {
            Link::Up(_) => (true, false, None),
            Link::Syncing(_) => (false, true, None),
            Link::Down(since) => (false, false, since.map(seconds)),
        };
        let placed = it.master || link_up || (it.placed && !syncing);
        let offset = if placed { WRITE * u64::from(it.offset) } else { 0 };
        let upstream = Upstream {
            host: if it.host == 0 {
                NOWHERE.0.to_owned()
            } else {
                name('a', it.host)
            },
            port: if it.host == 0 { NOWHERE.1 } else { 6379 },
            link_up,
            down_seconds: down,
            heard_seconds: link_up.then(|| it.stalled.map_or(0, seconds)),
            syncing,
            sync_heard_seconds: syncing.then(|| it.stalled.map_or(0, seconds)),
            read_offset: offset,
        };
        Answer {
            asked: Moment(self.now),
            still_since: Moment(self.now),
            replication: Replication {
                run_id: name('r', it.run),
                version: "7.0.15".to_owned(),
                started_micros: started(it.run),
                loading: false,
                appendonly: false,
                rewriting: false,
                role: if it.master { Role::Master } else { Role::Replica },
                upstream: (!it.master).then_some(upstream),
                id: name('i', it.id),
                id2: (it.id2 != 0).then(|| name('i', it.id2)),
                forked_at: (it.id2 != 0).then_some(WRITE * u64::from(it.forked)),
                offset,
                placed,
                priority: 100,
                online: u32::try_from((0..SLOTS).filter(|j| it.acks[*j] > 0).count()).unwrap_or(0),
                keys: u64::from(super::server::count(it.data)),
                misdirected: 0,
            },
            guard: u32::from(it.guard),
            guard_lag: u32::from(it.lag),
            serves: it.serves,
            users: users(it),
            attaches_as: if it.user == 0 {
                String::new()
            } else {
                names::replication_user(&name('u', it.user))
            },
        }
    }
}

fn users(it: &Proc) -> BTreeSet<String> {
    let all = it.users.iter().filter(|uid| **uid != 0);
    all.map(|uid| names::replication_user(&name('u', *uid))).collect()
}

fn departed(gone: &super::Gone) -> (String, Departed) {
    let departed = Departed {
        noticed: Moment(gone.noticed),
        terminated: (gone.ended != 0).then(|| name('c', gone.ended)).into_iter().collect(),
        outlived: gone.outlived.then(|| Duration::from_secs(60)),
        node_lost: false,
    };
    (name('u', gone.uid), departed)
}

/// The slice as an operator knows it.
fn slice_of(op: &Op) -> Option<Slice> {
    let Published {
        exists,
        target,
        holder,
        term,
        ..
    } = op.slice;
    exists.then(|| Slice {
        target: (target != 0).then(|| name('u', target)),
        address: (target != 0).then(|| name('a', target)),
        holder: name('h', holder),
        term,
        in_doubt: op.in_doubt,
    })
}

/// A process begins together with its container, and no two begin within the same minute.
fn started(run: u16) -> i64 {
    i64::from(run) * 100_000_000
}

/// The name of a pod.
pub(super) fn pod(slot: &Slot) -> String {
    format!("redis-a-{}", slot.ordinal)
}
