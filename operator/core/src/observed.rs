//! All that a decision may read, gathered by the shell before each pass.

use crate::api::DEFAULT_PRIORITY;
pub use crate::api::Policy;
use crate::record::{Found, Phase, Process, Record};
use crate::replication::{Replication, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A moment on the operator's monotonic clock, in microseconds since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// Time that has passed since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The moment this long before.
    pub fn before(self, time: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

/// What an answering instance said, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it was asked: whatever it said was true then or later.
    pub asked: Moment,
    /// Since when answers of this process say the same `read_offset` over one link that is up: when the
    /// first of them had come.
    /// What a master sends is counted there, its pings too.
    pub still_since: Moment,
    /// Its INFO.
    pub replication: Replication,
    /// G: `min-replicas-to-write`.
    pub guard: u32,
    /// `min-replicas-max-lag` in seconds.
    pub guard_lag: u32,
    /// `replica-serve-stale-data yes`: the fence is open.
    pub serves: bool,
    /// Its replication users (`r-<pod uid>`).
    pub users: BTreeSet<String>,
    /// `masteruser`: as whom it would attach to a master.
    pub attaches_as: String,
}

/// Whether an instance can be reached, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not tried yet, or no address.
    Untried,
    /// It answered in this pass.
    Answers(Box<Answer>),
    /// It replied, with an error (BUSY, LOADING, wrong password, too many clients) or with something that is no INFO:
    /// alive, nothing more is known.
    Alive(String),
    /// Its address refuses connections.
    Refused {
        /// Since when.
        since: Moment,
    },
    /// No reply.
    Silent {
        /// Since when.
        since: Moment,
        /// A new TCP connection is accepted all the same, by the host of the process and not by a proxy: hung.
        accepts: bool,
    },
}

/// The state of the redis container, from the pod's status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Id of the running container, or of the last one.
    pub id: Option<String>,
    /// Start of the running container, microseconds of the node's wall clock.
    pub started_micros: Option<i64>,
    /// Ids of containers that the status says have terminated.
    pub terminated: BTreeSet<String>,
    /// Reason while it waits to start (`CrashLoopBackOff`, `ImagePullBackOff`, …).
    pub waiting: Option<String>,
    /// Starts so far, less one.
    pub restarts: u32,
}

/// One pod of the resource's StatefulSet (owner uid checked), and the instance in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Pod name.
    pub pod: String,
    /// Pod uid.
    pub uid: String,
    /// Resource version of the pod as it was read.
    pub resource_version: String,
    /// Ordinal in the StatefulSet.
    pub ordinal: u32,
    /// Node, once scheduled.
    pub node: String,
    /// Address, once it has one.
    pub address: String,
    /// The `role` label.
    pub label: Option<String>,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// The redis container.
    pub container: Container,
    /// It was made from an older revision of the StatefulSet than the current one.
    pub outdated: bool,
    /// The spec that it was made for asked for another pod than the present one does: it is replaced when its turn comes.
    /// A newer operator alone makes outdated pods, never stale ones.
    pub stale: bool,
    /// Why it will not stay on its node, for people: evicted, cordoned, a taint. None if nothing says so.
    pub evacuating: Option<String>,
    /// `replica-priority` that the spec gives it; none if that depends on a node which is not known.
    pub wanted_priority: Option<u32>,
    /// What Kubernetes says of a pod that cannot run: cannot be scheduled, image cannot be pulled, crashes.
    pub trouble: Option<String>,
    /// What the instance answers.
    pub reach: Reach,
    /// What it answered last, however long ago, on a connection of this operator.
    pub last: Option<Answer>,
    /// This holder opened its connection, read the record after that and cut its predecessors off: it may be told things.
    pub attached: bool,
}

/// A pod of the record whose object is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departed {
    /// When this operator first saw that it was gone.
    pub noticed: Moment,
    /// Ids of containers that its last status showed as terminated.
    pub terminated: BTreeSet<String>,
    /// From its disappearance to the newest renewal of its node's Lease by the kubelet, less the pod's grace period. A
    /// living kubelet ends containers whose pod is gone.
    pub outlived: Option<Duration>,
    /// Its node has booted since, or carries `node.kubernetes.io/out-of-service`.
    pub node_lost: bool,
}

/// The EndpointSlice behind `-master`, as read under this lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Uid of the pod that is published, if any.
    pub target: Option<String>,
    /// Address that is published, if any.
    pub address: Option<String>,
    /// The holder that wrote it last.
    pub holder: String,
    /// Term under which it was written.
    pub term: u64,
    /// This holder wrote it and got no answer since: that write may still arrive, unless another one comes first.
    pub in_doubt: bool,
}

impl Slice {
    /// This holder wrote it last, or it names the recorded master as of the recorded term, in which no change is under way:
    /// whoever would publish another one has recorded that first. Nothing that is on its way would change whom it names;
    /// where this holder itself wrote it, as long as `record` is of the term in which it did.
    pub fn is_settled(&self, holder: &str, record: Option<&Record>) -> bool {
        if self.in_doubt {
            return false;
        }
        let steady = record.filter(|record| record.phase == Phase::Steady && record.term == self.term);
        let master = steady.and_then(|record| record.master.as_ref());
        self.holder == holder || master.is_some_and(|master| self.target.as_ref() == Some(&master.uid))
    }
}

/// What a person wants left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paused {
    /// Nothing.
    #[default]
    No,
    /// Everything that is planned: switchovers, rolls, leaves. A master that fails is replaced.
    Planned,
    /// Everything.
    All,
}

/// What the user asked for, as far as decisions depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Data pods, the master included.
    pub replicas: u32,
    /// The policy.
    pub policy: Policy,
    /// Silence that makes a master suspect.
    pub down_after: Duration,
    /// Data may outlive a pod: there is a volume claim, whatever was written to it.
    pub volumes: bool,
    /// Data outlives a pod that stops: there is a volume claim, and everything is written to it.
    pub durable: bool,
    /// Why the wanted image cannot follow the running servers, for people: it is never rolled out. None if nothing is known
    /// against it.
    pub incompatible: Option<String>,
    /// The resource is being deleted.
    pub deleting: bool,
    /// Who should be master, as a person asked: a pod's name, or `any`.
    pub switchover: Option<String>,
    /// The restart that a person asked for last.
    pub restart: Option<String>,
    /// The restart that the StatefulSet carries: it was accepted once, even if the record that says so is lost.
    pub restarted: Option<String>,
    /// What is not to be done.
    pub paused: Paused,
    /// Annotations that make no sense, each with what it should be.
    pub nonsense: Vec<String>,
    /// The pod that a person named as the one to promote where the evidence is ambiguous.
    pub elect: Option<String>,
    /// The run ids of the processes that a person declared to have ended.
    pub ended: BTreeSet<String>,
}

/// All that a decision may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What the user asked for.
    pub desired: Desired,
    /// The operator process that asks.
    pub holder: String,
    /// The record, as this holder wrote it last or read it with a quorum.
    pub record: Found,
    /// Pods by name.
    pub instances: BTreeMap<String, Instance>,
    /// By pod uid: pods that the record names and that no longer exist.
    pub departed: BTreeMap<String, Departed>,
    /// The holder that wrote the StatefulSet last; none if it does not exist.
    pub set_holder: Option<String>,
    /// The master's slice; none if it does not exist.
    pub slice: Option<Slice>,
    /// What this process remembers; losing it only delays.
    pub memory: crate::memory::Memory,
    /// Now, on the operator's monotonic clock.
    pub now: Moment,
    /// Now, for people and records.
    pub clock: jiff::Timestamp,
}

impl Desired {
    /// So many pods, and nothing else that anybody asked for.
    pub fn new(replicas: u32, policy: Policy, down_after: Duration, durable: bool) -> Self {
        Self {
            replicas,
            policy,
            down_after,
            volumes: durable,
            durable,
            incompatible: None,
            deleting: false,
            switchover: None,
            restart: None,
            restarted: None,
            paused: Paused::No,
            nonsense: vec![],
            elect: None,
            ended: BTreeSet::new(),
        }
    }
}

impl Instance {
    /// What it answered in this pass.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.reach {
            Reach::Answers(answer) => Some(answer),
            Reach::Untried | Reach::Alive(_) | Reach::Refused { .. } | Reach::Silent { .. } => None,
        }
    }

    /// Lower is preferred, 0 is never promoted. As the spec says, whether the server was told or not; only where the spec's
    /// word is not known, as the server says.
    pub fn priority(&self) -> u32 {
        let says = || self.answer().map(|answer| answer.replication.priority);
        self.wanted_priority.or_else(says).unwrap_or(DEFAULT_PRIORITY)
    }

    /// It answers as a master, with its dataset loaded.
    pub fn is_master(&self) -> bool {
        self.answer()
            .is_some_and(|answer| answer.replication.role == Role::Master && !answer.replication.loading)
    }

    /// The process that answered in this pass.
    ///
    /// Its container is named only if both began together, for a status may lag behind a restart. Each clock shows whole
    /// seconds, so two beginnings that agree may read up to 2 s apart.
    pub fn process(&self) -> Option<Process> {
        let answer = self.answer()?;
        let agrees = |started: i64| started.abs_diff(answer.replication.started_micros) <= 2_000_000;
        Some(Process {
            pod: self.pod.clone(),
            uid: self.uid.clone(),
            run_id: answer.replication.run_id.clone(),
            address: self.address.clone(),
            node: self.node.clone(),
            container: self
                .container
                .id
                .clone()
                .filter(|_| self.container.started_micros.is_some_and(agrees)),
            ended: false,
        })
    }
}
