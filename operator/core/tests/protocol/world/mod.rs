//! A small deterministic world: redis processes with measured behaviour, pods, the record, the slice, one operator.
//!
//! It holds no rule of the protocol: it does what it is told, and [`check`](World::check) says what must never be seen.

mod check;
mod cluster;
mod network;
mod operator;
mod server;
mod step;

pub use cluster::pod_name;
pub use operator::Pass;
pub use server::{Link, Mood, Server};

use cluster::Pod;
use network::BEGINNING;
use operator::Operator;
use redis_operator_core::observed::{Answer, Departed, Desired, Moment, Observed, Policy, Reach, Slice};
use redis_operator_core::plan::{Plan, Reason};
use redis_operator_core::record::Found;
use serde_json::Value;
use server::Saved;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What outlives a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Nothing.
    Memory,
    /// Data, id and offset.
    Rdb,
    /// Data alone.
    Aof,
}

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and says so.
    Fail,
    /// It is done, and nobody hears of it.
    Unknown,
    /// The operator dies before it.
    CrashBefore,
    /// The operator dies after it.
    CrashAfter,
}

/// The world.
#[derive(Clone, Debug)]
pub struct World {
    pub desired: Desired,
    pub disk: Disk,
    pub pods: BTreeMap<String, Pod>,
    pub disks: BTreeMap<u32, Saved>,
    pub departed: BTreeMap<String, Departed>,
    /// `status.record`, and what it reads as.
    pub record: Option<Value>,
    read: Found,
    pub slice: Option<Slice>,
    /// The holder that wrote the StatefulSet last.
    pub set_holder: Option<String>,
    pub operator: Operator,
    pub now: Moment,
    /// Links that cannot be: replica, master.
    pub cut: BTreeSet<(String, String)>,
    /// Pods whose full syncs do not end.
    pub slow_sync: BTreeSet<String>,
    /// Pods that the operator does not reach.
    pub unreachable: BTreeSet<String>,
    /// Pods that a firewall rejects for the operator.
    pub rejecting: BTreeSet<String>,
    /// Pods whose copies lag behind: the label and the version that they show.
    pub late: BTreeMap<String, (Option<String>, u64)>,
    /// Pods on a node whose cable is pulled: nobody reaches them, and they reach nobody.
    pub isolated: BTreeSet<String>,
    /// Ordinals whose pods never come.
    pub pending: BTreeSet<u32>,
    /// The number of the present spec.
    pub spec: u32,
    /// Priorities that the spec gives, by ordinal.
    pub priorities: BTreeMap<u32, u32>,
    /// Specs whose pods do not start.
    pub broken: BTreeSet<u32>,
    /// By the number of a step since the beginning.
    pub faults: BTreeMap<u64, Fault>,
    pub steps: u64,
    pub trace: Vec<String>,
    /// Writes that WAIT acknowledged with the quorum of their time.
    pub waited: Vec<u32>,
    pub cut_clients: Vec<String>,
    pub slice_version: u64,
    operators: u32,
    newest: (u64, u64),
    drawn: u64,
}

impl World {
    /// So many pods with running, fenced, empty processes, and an operator that has not seen them.
    pub fn new(replicas: u32, disk: Disk) -> Self {
        let mut world = Self {
            desired: Desired::new(
                replicas,
                Policy::Availability,
                Duration::from_secs(2),
                disk != Disk::Memory,
            ),
            disk,
            pods: BTreeMap::new(),
            disks: BTreeMap::new(),
            departed: BTreeMap::new(),
            record: None,
            read: Found::Absent,
            slice: None,
            set_holder: None,
            operator: Operator::default(),
            now: BEGINNING,
            cut: BTreeSet::new(),
            slow_sync: BTreeSet::new(),
            unreachable: BTreeSet::new(),
            rejecting: BTreeSet::new(),
            late: BTreeMap::new(),
            isolated: BTreeSet::new(),
            pending: BTreeSet::new(),
            spec: 0,
            priorities: BTreeMap::new(),
            broken: BTreeSet::new(),
            faults: BTreeMap::new(),
            steps: 0,
            trace: vec![],
            waited: vec![],
            cut_clients: vec![],
            slice_version: 0,
            operators: 0,
            newest: (0, 0),
            drawn: 0,
        };
        world.new_operator();
        world.stateful_set();
        world
    }

    /// One that has started for the first time, is healthy and holds some writes.
    pub fn healthy(replicas: u32) -> Self {
        Self::healthy_on(replicas, Disk::Memory)
    }

    /// As [`healthy`](Self::healthy), with a disk.
    pub fn healthy_on(replicas: u32, disk: Disk) -> Self {
        let mut world = Self::new(replicas, disk);
        world.settle();
        world.assert_healthy();
        for _ in 0..5 {
            assert!(world.write(), "{}", world.story());
        }
        world.settle();
        world.trace.clear();
        world
    }

    /// Three healthy ones that all ended and began again, with what their disks hold after `change`.
    pub fn restarted(disk: Disk, change: impl Fn(&mut Self)) -> Self {
        let mut world = Self::healthy_on(3, disk);
        (0..3).for_each(|ordinal| world.kill(ordinal));
        change(&mut world);
        (0..3).for_each(|ordinal| world.start(ordinal));
        world
    }

    /// Passes until nothing is left to do: no steps, nothing that moves, no wake within two minutes. Time is cheap here.
    pub fn settle(&mut self) -> Plan {
        self.settle_for(Duration::from_secs(120))
    }

    /// As [`settle`](Self::settle), for less time.
    pub fn settle_for(&mut self, limit: Duration) -> Plan {
        let begun = self.now;
        for _ in 0..3000 {
            self.stateful_set();
            let before = self.picture();
            let (plan, end) = self.pass();
            self.stateful_set();
            self.flow();
            if end != Pass::Done || before != self.picture() {
                continue;
            }
            assert!(
                plan.steps.is_empty(),
                "law 8: a plan that changes nothing, again and again: {plan:?}{}",
                self.story()
            );
            let left = limit.saturating_sub(self.now.since(begun));
            match plan.wake.filter(|_| !left.is_zero()) {
                Some(wake) => self.tick(wake.min(left)),
                None => return plan,
            }
        }
        panic!("law 8: it does not come to rest{}", self.story());
    }

    /// One pass, for its plan.
    pub fn pass_only(&mut self) -> Plan {
        self.pass().0
    }

    /// Another record is put there, by hand or from a backup; or none.
    pub fn put_record(&mut self, record: Option<Value>) {
        self.store(record);
        self.newest = (0, 0);
    }

    fn store(&mut self, record: Option<Value>) {
        self.read = Found::read(record.as_ref());
        self.record = record;
    }

    /// Passes until something holds, and says how long that took.
    pub fn until(&mut self, holds: impl Fn(&Self) -> bool) -> Duration {
        let begun = self.now;
        for _ in 0..1000 {
            if holds(self) {
                return self.now.since(begun);
            }
            let before = self.picture();
            let (plan, _) = self.pass();
            self.stateful_set();
            if let Some(wake) = plan.wake.filter(|_| before == self.picture()) {
                self.tick(wake);
            }
        }
        panic!("it never holds{}", self.story());
    }

    /// What a pass may change.
    fn picture(&self) -> impl PartialEq + use<> {
        let mut memory = self.operator.memory.clone();
        memory.heard.clear();
        let mut pods = self.pods.clone();
        for server in pods.values_mut().filter_map(|pod| pod.server.as_mut()) {
            server.heard = Moment::default();
        }
        let operator = (self.operator.holder.clone(), memory, self.operator.in_doubt);
        (pods, self.record.clone(), self.slice.clone(), operator)
    }

    /// Whom the slice names.
    pub fn published(&self) -> Option<u32> {
        let target = self.slice.as_ref()?.target.as_ref()?;
        self.pods.values().find(|pod| pod.uid == *target).map(|pod| pod.ordinal)
    }

    /// A client writes to whom the slice names.
    pub fn write(&mut self) -> bool {
        self.published()
            .is_some_and(|ordinal| self.pod(ordinal).server.is_some() && self.write_to(ordinal))
    }

    pub fn assert_healthy(&mut self) {
        if let Err(what) = self.is_healthy() {
            panic!("not healthy: {what}{}", self.story());
        }
        let (plan, _) = self.pass();
        assert_eq!(plan.steps, vec![], "law 7{}", self.story());
        assert_eq!(plan.wake, None, "law 7");
        assert_eq!(plan.notes, vec![], "law 7");
    }

    /// The ordinal of the master, in a healthy world.
    pub fn master(&mut self) -> u32 {
        self.assert_healthy();
        self.published().unwrap()
    }

    /// No write that WAIT acknowledged is missing on the master.
    pub fn assert_nothing_lost(&self) {
        let data = &self.server(self.published().expect("published")).data;
        for n in &self.waited {
            assert!(data.contains(n), "write {n} is lost{}", self.story());
        }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }
}

/// What an instance answered, to be changed by hand.
pub fn answer_mut(seen: &mut Observed, ordinal: u32) -> &mut Answer {
    match &mut seen.instances.get_mut(&pod_name(ordinal)).unwrap().reach {
        Reach::Answers(answer) => answer,
        other => panic!("no answer: {other:?}"),
    }
}

/// The reasons of a plan's notes.
pub fn reasons(plan: &Plan) -> Vec<Reason> {
    plan.notes.iter().map(|note| note.reason).collect()
}
