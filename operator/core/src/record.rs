//! The replication record: what the operator has decided, kept in `status.record` and written before it is done.
//!
//! Everything that the next pass needs and that no server can say is here, so a crash between any two steps changes
//! nothing. It is compared and set on [`Record::seq`]; fields that this version does not know survive a write.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The layout of the record that this code writes. One of a newer layout is left alone.
pub const VERSION: u32 = 1;

/// One redis-server process. Inside a term the process is the identity, replication ids only verify it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Name of its pod.
    pub pod: String,
    /// Uid of its pod.
    pub uid: String,
    /// `run_id`: drawn anew at every start.
    pub run_id: String,
    /// Address of its pod.
    pub address: String,
    /// Node of its pod.
    #[serde(default)]
    pub node: String,
    /// Its container, if the container's start agrees with the process' own; else nothing can be concluded from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// A proof of its end was seen; kept because the proof may vanish with the pod object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

impl Process {
    /// The same process, whatever else was learnt about it since.
    pub fn is(&self, other: &Self) -> bool {
        self.uid == other.uid && self.run_id == other.run_id
    }
}

/// How far a failover has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The recorded master serves.
    Steady,
    /// The master's clients are paused until the target has caught up.
    Switching,
    /// Members are being frozen and counted.
    Electing,
    /// The claimed one is being promoted.
    Promoting,
}

/// How far a member's attachment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Told to follow; not yet seen to hold everything.
    Joining,
    /// Was seen to hold everything that the master had.
    Full,
    /// On its way out; still counted, still a candidate.
    Leaving,
}

/// A process that was told to follow the recorded master.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Who.
    #[serde(flatten)]
    pub process: Process,
    /// How far.
    pub stage: Stage,
    /// It was full under this master and is no longer. It may be the only one with a write that WAIT has acknowledged, and
    /// a full sync takes that from it: so it counts in N even when it shows that it lacks data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_full: bool,
}

/// The one that is to be promoted, as it was frozen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Who.
    #[serde(flatten)]
    pub process: Process,
    /// The replication id under which it was frozen.
    pub id: String,
    /// The offset at which it was frozen.
    pub offset: u64,
}

/// A switchover that a person asked for, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// What the annotation said; empty once that is gone.
    pub value: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Run id of the master that was to hand over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
    /// When, RFC 3339; for people.
    #[serde(default)]
    pub at: String,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The master was demoted for it.
    Begun,
    /// It was done.
    Done,
    /// It was not begun, and will not be.
    Refused,
    /// It was begun, and came to another end.
    Failed,
}

/// The record. Its promises and the order of its writes are those of docs/protocol.md, section 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Layout, see [`VERSION`].
    pub version: u32,
    /// Grows by one with every write.
    pub seq: u64,
    /// Grows with every election.
    pub term: u64,
    /// The operator process that may write.
    pub holder: String,
    /// How far a failover has come.
    pub phase: Phase,
    /// The master, or the one before while an election runs; none before the first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<Process>,
    /// The master's replication id.
    #[serde(default)]
    pub id: String,
    /// P: the offset at which the master was promoted.
    #[serde(default)]
    pub promoted_at: u64,
    /// The replication id before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_id: Option<String>,
    /// Whom a switchover is to make master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Process>,
    /// Who is being promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// By pod name: at most one process of a pod is a member.
    #[serde(default)]
    pub members: BTreeMap<String, Member>,
    /// Names of pods that have held a copy of this data. What another pod holds of an unrelated history is somebody's.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub copies: BTreeSet<String>,
    /// Names of pods whose append-only file was still being written anew when they came into sync, or were promoted, and has
    /// not been seen complete since. Until then the volume has what it had before the full sync.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unwritten: BTreeSet<String>,
    /// What the annotation by which a person names a pod said when it was used. It counts for what that person saw, so
    /// not again before it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elected: Option<String>,
    /// What a person asked for last, and what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// The restart that was accepted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted: Option<String>,
    /// E: a write that WAIT n, n ≥ E, has acknowledged is on at least E members. 0: none yet.
    #[serde(default)]
    pub quorum: u32,
    /// When the term began, RFC 3339; for people.
    #[serde(default)]
    pub since: String,
    /// Why the term began; for people.
    #[serde(default)]
    pub reason: String,
    /// Fields of other versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What `status.record` turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none.
    Absent,
    /// A record of this layout.
    Record(Box<Record>),
    /// A record that a newer operator wrote: left alone.
    Newer(u64),
    /// Anything else, with what is wrong.
    Nonsense(String),
}

impl Record {
    /// The record with which a resource begins, not yet written (seq 0).
    pub fn first(holder: &str) -> Self {
        Self {
            version: VERSION,
            seq: 0,
            term: 0,
            holder: holder.to_owned(),
            phase: Phase::Steady,
            master: None,
            id: String::new(),
            promoted_at: 0,
            previous_id: None,
            target: None,
            claim: None,
            members: BTreeMap::new(),
            copies: BTreeSet::new(),
            unwritten: BTreeSet::new(),
            elected: None,
            request: None,
            restarted: None,
            quorum: 0,
            since: String::new(),
            reason: String::new(),
            other: Map::new(),
        }
    }

    /// N: members of every kind.
    pub fn size(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    /// Members at a stage.
    pub fn at(&self, stage: Stage) -> impl Iterator<Item = &Member> {
        self.members.values().filter(move |member| member.stage == stage)
    }

    /// The member that is this very process.
    pub fn member(&self, uid: &str, run_id: &str) -> Option<&Member> {
        self.members
            .values()
            .find(|member| member.process.uid == uid && member.process.run_id == run_id)
    }

    /// Every process that the record names.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        let members = self.members.values().map(|member| &member.process);
        self.master
            .iter()
            .chain(self.claim.iter().map(|claim| &claim.process))
            .chain(members)
    }

    /// Notes whether the append-only file of this pod is complete on its volume.
    pub fn note_file(&mut self, pod: &str, rewriting: bool) {
        if rewriting {
            self.unwritten.insert(pod.to_owned());
        } else {
            self.unwritten.remove(pod);
        }
    }

    /// It speaks of a process of this pod.
    pub fn names(&self, uid: &str) -> bool {
        self.processes().any(|process| process.uid == uid)
    }
}

impl Found {
    /// The record, if there is one that this version understands.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Absent | Self::Newer(_) | Self::Nonsense(_) => None,
        }
    }

    /// Reads `status.record`. Whatever it holds, nothing is promoted on the word of something that does not fit.
    pub fn read(value: Option<&Value>) -> Self {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Self::Absent;
        };
        let version = value.get("version").and_then(Value::as_u64);
        if let Some(newer) = version.filter(|n| *n > u64::from(VERSION)) {
            return Self::Newer(newer);
        }
        match Record::deserialize(value) {
            Ok(record) => match record.contradiction() {
                None => Self::Record(Box::new(record)),
                Some(what) => Self::Nonsense(what),
            },
            Err(error) => Self::Nonsense(error.to_string()),
        }
    }
}

impl Record {
    fn contradiction(&self) -> Option<String> {
        if self.version == 0 || self.seq == 0 {
            return Some("version and seq begin at 1".to_owned());
        }
        if self.quorum > self.size() {
            return Some(format!("quorum {} of {} members", self.quorum, self.size()));
        }
        if let Some((pod, _)) = self.members.iter().find(|(pod, member)| **pod != member.process.pod) {
            return Some(format!("member {pod} is listed under another pod's name"));
        }
        if self.phase == Phase::Promoting && self.claim.is_none() {
            return Some("phase Promoting without a claim".to_owned());
        }
        if self.phase != Phase::Promoting && self.master.is_none() {
            return Some("no master outside phase Promoting".to_owned());
        }
        if self.phase == Phase::Switching && self.target.is_none() {
            return Some("phase Switching without a target".to_owned());
        }
        if self.master.is_none() && !self.members.is_empty() {
            return Some("members without a master".to_owned());
        }
        None
    }
}
