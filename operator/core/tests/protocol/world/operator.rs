//! One operator process: observe, note, decide, do the steps one by one, settle.

use super::World;
use super::server::Mood;
use redis_operator_core::decide::decide;
use redis_operator_core::memory::Memory;
use redis_operator_core::observed::{Answer, Container, Instance, Moment, Observed, Reach, Slice};
use redis_operator_core::plan::{Plan, Step};
use redis_operator_core::record::Found;
use std::collections::{BTreeMap, BTreeSet};

/// What an operator process has besides the cluster.
#[derive(Clone, Debug, Default)]
pub struct Operator {
    pub holder: String,
    pub memory: Memory,
    /// Run ids by pod uid: connections that may be used.
    pub attached: BTreeMap<String, String>,
    /// Pods to which no usable connection can be had.
    pub withheld: BTreeSet<String>,
    /// Nobody answered to its last write of the slice.
    pub in_doubt: bool,
    since: BTreeMap<String, (String, Moment)>,
    last: BTreeMap<String, Answer>,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Done,
    Failed,
    Crashed,
}

impl World {
    /// A new operator process, with nothing in memory.
    pub fn new_operator(&mut self) {
        self.operators += 1;
        let withheld = std::mem::take(&mut self.operator.withheld);
        self.operator = Operator {
            holder: format!("operator-{}", self.operators),
            withheld,
            ..Operator::default()
        };
    }

    /// What the operator sees now.
    pub fn observe(&mut self) -> Observed {
        self.flow();
        let record = self.found();
        let master = match &record {
            Found::Record(record) => record.master.as_ref().map(|master| master.pod.clone()),
            Found::Absent | Found::Newer(_) | Found::Nonsense(_) => None,
        };
        let exist = self.pods.values().filter(|pod| !pod.object_gone);
        let mut names: Vec<_> = exist.map(|pod| pod.name.clone()).collect();
        names.sort_by_key(|name| Some(name) != master.as_ref());
        let mut instances = BTreeMap::new();
        for name in names {
            self.now.0 += 1;
            instances.insert(name.clone(), self.instance(&name));
        }
        let named = |uid: &String| matches!(&record, Found::Record(r) if r.processes().any(|p| p.uid == *uid));
        let departed = self.departed.iter().filter(|(uid, _)| named(uid));
        Observed {
            desired: self.desired.clone(),
            holder: self.operator.holder.clone(),
            departed: departed
                .map(|(uid, departed)| (uid.clone(), departed.clone()))
                .collect(),
            record,
            instances,
            set_holder: self.set_holder.clone(),
            slice: self.slice.clone().map(|slice| Slice {
                in_doubt: self.operator.in_doubt,
                ..slice
            }),
            memory: Memory {
                settled: self.operator.memory.settled,
                ..Memory::default()
            },
            now: self.now,
            clock: jiff::Timestamp::from_microsecond(i64::try_from(self.now.0).unwrap()).unwrap(),
        }
    }

    fn instance(&mut self, name: &str) -> Instance {
        let pod = self.pods[name].clone();
        let reach = self.reach(name);
        if let Reach::Answers(answer) = &reach {
            self.operator.last.insert(pod.uid.clone(), (**answer).clone());
            if !self.operator.withheld.contains(name) {
                let run = answer.replication.run_id.clone();
                self.operator.attached.insert(pod.uid.clone(), run);
            }
        } else if !matches!(reach, Reach::Alive(_)) {
            self.operator.attached.remove(&pod.uid);
        }
        let shown = (pod.label, pod.version);
        let (label, version) = self.late.get(name).cloned().unwrap_or(shown);
        Instance {
            attached: self.operator.attached.contains_key(&pod.uid),
            last: self.operator.last.get(&pod.uid).cloned(),
            reach,
            pod: pod.name,
            uid: pod.uid,
            resource_version: version.to_string(),
            ordinal: pod.ordinal,
            node: pod.node,
            address: pod.address,
            label,
            deleting: pod.deleting,
            container: Container {
                id: pod.container,
                started_micros: pod.started_micros,
                terminated: pod.terminated,
                waiting: pod.waiting,
                restarts: pod.restarts,
            },
            outdated: pod.spec != self.spec,
            stale: pod.spec != self.spec,
            wanted_priority: pod.priority,
            evacuating: pod.evacuating,
            trouble: self
                .broken
                .contains(&pod.spec)
                .then(|| "the image cannot be pulled".to_owned()),
        }
    }

    fn reach(&mut self, name: &str) -> Reach {
        let pod = &self.pods[name];
        let away = pod.node_lost || self.unreachable.contains(name) || self.isolated.contains(name);
        if pod.address.is_empty() {
            return Reach::Untried;
        }
        let what = match &pod.server {
            _ if away => "silent",
            None => "refused",
            Some(_) if self.rejecting.contains(name) => "refused",
            Some(server) if server.mood == Mood::Hung => "hung",
            Some(server) if server.mood == Mood::Busy => "busy",
            Some(_) => "answers",
        };
        let key = pod.uid.clone();
        let before = self.operator.since.get(&key).filter(|(kind, _)| kind == what);
        let since = before.map_or(self.now, |(_, since)| *since);
        self.operator.since.insert(key, (what.to_owned(), since));
        match what {
            "silent" => Reach::Silent { since, accepts: false },
            "refused" => Reach::Refused { since },
            "hung" => Reach::Silent { since, accepts: true },
            "busy" => Reach::Alive("BUSY".to_owned()),
            _ => Reach::Answers(Box::new(self.answer(name))),
        }
    }

    fn answer(&self, name: &str) -> Answer {
        let server = self.pods[name].server.as_ref().unwrap();
        let mut answer = server.answer(self.now);
        if server.master {
            answer.replication.online = self.linked_to(name, 0);
        }
        answer
    }

    /// One pass, with what may go wrong at one of its steps.
    pub fn pass(&mut self) -> (Plan, Pass) {
        let mut seen = self.observe();
        let mut memory = std::mem::take(&mut self.operator.memory);
        memory.note(&seen);
        seen.memory = memory.clone();
        let plan = decide(&seen);
        for law in crate::laws::rules::ALL {
            law(&seen, &plan).unwrap_or_else(|what| panic!("{what}{}", self.story()));
        }
        self.trace.push(format!(
            "{} {:?}",
            plan.why,
            plan.steps.iter().map(Step::name).collect::<Vec<_>>()
        ));
        let slice_version = self.slice_version;
        let mut end = Pass::Done;
        for step in &plan.steps {
            end = self.step(step, slice_version);
            if end != Pass::Done {
                break;
            }
        }
        memory.settle(&seen, &plan);
        self.operator.memory = memory;
        if end == Pass::Crashed {
            self.trace.push("the operator crashes".to_owned());
            self.new_operator();
        }
        self.tick(std::time::Duration::from_millis(1));
        (plan, end)
    }
}
