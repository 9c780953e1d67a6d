//! What to do next, as data, and why.

use crate::observed::Instance;
use crate::record::{Claim, Process, Record};
use std::time::Duration;

/// What a pod's `role` label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// `role=master`.
    Master,
    /// `role=replica`: in sync.
    Replica,
    /// No label.
    None,
}

/// One step. Each is idempotent, so a pass that follows a failed or unknown one may decide it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write the record, if the one before (seq − 1) is still there.
    Record(Box<Record>),
    /// Write this holder into the master's slice, endpoints as they are; create it without endpoints if it is missing.
    TouchSlice,
    /// Let the master's slice name this process, in one write.
    Publish(Process),
    /// Set or remove a pod's `role` label, if it still is as it was observed: a late label would make two masters.
    Label {
        /// Pod name.
        pod: String,
        /// Pod uid.
        uid: String,
        /// Resource version as observed.
        resource_version: String,
        /// What it shall say.
        label: Label,
    },
    /// Create a replication user on a master, for the pod with this uid.
    AddUser {
        /// The master.
        on: Process,
        /// Uid of the member's pod.
        uid: String,
    },
    /// Delete a replication user on a master, which also cuts its link.
    DropUser {
        /// The master.
        on: Process,
        /// Name of the user.
        user: String,
    },
    /// Follow a master, as the replication user of one's own pod.
    Follow {
        /// Who.
        who: Process,
        /// The master's address.
        master: String,
    },
    /// Follow nobody: id and offset stay as they are.
    Freeze(Process),
    /// Hold back the writes of a master's clients, for 3 s at most.
    Pause(Process),
    /// Let them go on.
    Resume(Process),
    /// No longer be a master: follow nobody, close the fence and the applications' connections, in one transaction.
    Demote(Process),
    /// Become master, with replication users for these pod uids, and verify that it is what was claimed.
    Promote {
        /// The claim that the record holds.
        claim: Claim,
        /// Uids of the members' pods.
        users: Vec<String>,
    },
    /// Set `min-replicas-to-write` and `min-replicas-max-lag`.
    Guard {
        /// The master.
        on: Process,
        /// Replicas that must be there.
        replicas: u32,
        /// How old their acknowledgement may be, in seconds.
        lag: u32,
    },
    /// Set `replica-priority`.
    Priority {
        /// Who.
        on: Process,
        /// Lower is preferred, 0 is never promoted.
        priority: u32,
    },
    /// Open the fence: serve reads.
    Serve(Process),
    /// Close the connections of applications.
    CutClients(Process),
    /// Write to a pod, if it still is as it was observed: from then on whatever else depends on that is refused.
    TouchPod {
        /// Pod name.
        pod: String,
        /// Pod uid.
        uid: String,
        /// Resource version as observed.
        resource_version: String,
    },
    /// Delete a pod, if it still is as it was observed.
    DeletePod {
        /// Pod name.
        pod: String,
        /// Pod uid.
        uid: String,
        /// Resource version as observed.
        resource_version: String,
    },
}

/// Something a person should know, found on the way to a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What kind, a condition's reason.
    pub reason: Reason,
    /// A sentence that names what is missing and the remedy.
    pub message: String,
}

/// Why something is not done, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// `status.record` is of a newer version.
    RecordOfNewerVersion,
    /// `status.record` makes no sense.
    RecordUnreadable,
    /// The first start waits for pods.
    WaitingForPods,
    /// Several instances hold unrelated data.
    AmbiguousData,
    /// The master does not answer, and nothing proves that it ended.
    MasterUnclear,
    /// The master ended and too few members are there.
    QuorumMissing,
    /// The master ended and nobody may be promoted.
    NoCandidate,
    /// An instance holds data of another history and stays out.
    ForeignData,
    /// Pods beyond the wanted number stay because one of them is the master.
    MasterOnSurplusPod,
    /// Another one should be master, and none is there that could.
    SwitchoverWaits,
    /// A member has had no link to the master for long.
    MemberWithoutLink,
    /// More than one instance takes writes.
    TwoMasters,
    /// The pods are being replaced by ones that follow the present spec.
    Rolling,
    /// A replaced pod does not come into sync: the others stay as they are.
    RollStuck,
    /// The present spec cannot be rolled out.
    RollRefused,
    /// A person wants it left alone.
    Paused,
    /// An annotation makes no sense.
    AnnotationUnclear,
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order; the first that fails ends the pass.
    pub steps: Vec<Step>,
    /// One phrase for the log.
    pub why: &'static str,
    /// Look again after this time even if nothing happens.
    pub wake: Option<Duration>,
    /// What a person should know.
    pub notes: Vec<Note>,
}

impl Step {
    /// The deletion of a pod as it was observed.
    pub fn delete(instance: &Instance) -> Self {
        Self::DeletePod {
            pod: instance.pod.clone(),
            uid: instance.uid.clone(),
            resource_version: instance.resource_version.clone(),
        }
    }

    /// A write to a pod as it was observed.
    pub fn touch(instance: &Instance) -> Self {
        Self::TouchPod {
            pod: instance.pod.clone(),
            uid: instance.uid.clone(),
            resource_version: instance.resource_version.clone(),
        }
    }

    /// The process that is told something; none where the step is for the API server.
    pub fn server(&self) -> Option<&Process> {
        match self {
            Self::AddUser { on, .. }
            | Self::DropUser { on, .. }
            | Self::Guard { on, .. }
            | Self::Priority { on, .. }
            | Self::CutClients(on) => Some(on),
            Self::Follow { who, .. }
            | Self::Freeze(who)
            | Self::Demote(who)
            | Self::Pause(who)
            | Self::Resume(who)
            | Self::Serve(who) => Some(who),
            Self::Promote { claim, .. } => Some(&claim.process),
            Self::Record(_)
            | Self::TouchSlice
            | Self::Publish(_)
            | Self::Label { .. }
            | Self::TouchPod { .. }
            | Self::DeletePod { .. } => None,
        }
    }

    /// A name from a bounded set, for logs, metrics and fail points.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Record(record) => match record.phase {
                crate::record::Phase::Steady => "record-steady",
                crate::record::Phase::Switching => "record-switching",
                crate::record::Phase::Electing => "record-electing",
                crate::record::Phase::Promoting => "record-promoting",
            },
            Self::TouchSlice => "touch-slice",
            Self::Publish(_) => "publish",
            Self::Label { .. } => "label",
            Self::AddUser { .. } => "add-user",
            Self::DropUser { .. } => "drop-user",
            Self::Follow { .. } => "follow",
            Self::Freeze(_) => "freeze",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Demote(_) => "demote",
            Self::Promote { .. } => "promote",
            Self::Guard { .. } => "guard",
            Self::Priority { .. } => "priority",
            Self::Serve(_) => "serve",
            Self::CutClients(_) => "cut-clients",
            Self::TouchPod { .. } => "touch-pod",
            Self::DeletePod { .. } => "delete-pod",
        }
    }
}
