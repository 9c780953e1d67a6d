//! The faults that are counted: their names, on which resource, and what must be reached. What is done is in
//! [`crate::befall`].

use crate::harness::{spec, spec_with};
use crate::load::Load;
use crate::rolled::Middle;
use crate::runs::Bounds;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::str::FromStr;

/// A fault that befalls a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its process is killed.
    Killed,
    /// Its process hangs.
    Hung,
    /// The same, with a shorter `downAfter`.
    HungSooner,
    /// Its node is cut off.
    CutOff,
    /// The same, where nothing may be lost.
    CutOffDurable,
    /// Its node is cut off, and the leading operator is on it.
    CutOffWithLeader,
    /// Its node's power is cut, and comes back.
    PowerCut,
    /// Its process and the leading operator's are killed.
    KilledWithLeader,
    /// No fault at all: a person asks for another master.
    ByHand,
    /// Its pod is deleted.
    Deleted,
    /// Its node is drained.
    Drained,
    /// A changed spec is rolled out.
    Rolled,
    /// A changed spec is rolled out, and something fails in the middle.
    RolledWith(Middle),
    /// No fault either: instances are added and taken away again.
    Scaled,
    /// A changed spec is rolled out where there is much data, and much is written all the time.
    Big,
}

/// More than a gigabyte per instance.
pub(crate) const BIG: Load = Load { keys: 10_500, rate: 20 };

impl Fault {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Killed,
        Self::Hung,
        Self::HungSooner,
        Self::CutOff,
        Self::CutOffDurable,
        Self::CutOffWithLeader,
        Self::PowerCut,
        Self::KilledWithLeader,
        Self::ByHand,
        Self::Deleted,
        Self::Drained,
        Self::Rolled,
        Self::Scaled,
        Self::Big,
        Self::RolledWith(Middle::OperatorKilled),
        Self::RolledWith(Middle::TargetKilled),
        Self::RolledWith(Middle::MasterHangs),
        Self::RolledWith(Middle::CablePulled),
    ];

    /// Somebody planned it, and nothing failed.
    pub fn is_planned(self) -> bool {
        matches!(
            self,
            Self::ByHand | Self::Deleted | Self::Drained | Self::Rolled | Self::Scaled | Self::Big
        )
    }

    /// Over how many resources the runs are spread at most. Kubelet lets a container that ends often wait, hence several;
    /// but a node that is drained is to hold one master, and is left by all of them.
    pub fn resources(self, wanted: usize) -> usize {
        match self {
            Self::Drained | Self::Scaled | Self::Big => wanted.min(1),
            _ => wanted,
        }
    }

    /// How often it happens if nobody says how often: what takes minutes, not as often as the rest.
    pub fn usual(self, count: usize) -> usize {
        match self {
            Self::Big => count.min(1),
            _ => count,
        }
    }

    /// A word for files and arguments.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::HungSooner => "hung-1s",
            Self::CutOff => "cable",
            Self::CutOffDurable => "cable-durability",
            Self::CutOffWithLeader => "cable-leader",
            Self::PowerCut => "power",
            Self::KilledWithLeader => "killed-leader",
            Self::ByHand => "by-hand",
            Self::Deleted => "deleted",
            Self::Drained => "drained",
            Self::Rolled => "rolled",
            Self::Scaled => "scaled",
            Self::Big => "big",
            Self::RolledWith(Middle::OperatorKilled) => "rolled-operator-killed",
            Self::RolledWith(Middle::TargetKilled) => "rolled-target-killed",
            Self::RolledWith(Middle::MasterHangs) => "rolled-master-hangs",
            Self::RolledWith(Middle::CablePulled) => "rolled-cable",
        }
    }

    /// A heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Killed => "The master's process is killed",
            Self::Hung => "The master's process hangs",
            Self::HungSooner => "The master's process hangs, `downAfter: 1s`",
            Self::CutOff => "The cable of the master's node is pulled",
            Self::CutOffDurable => "The cable of the master's node is pulled, `policy: Durability`",
            Self::CutOffWithLeader => "The cable of the node of master and leading operator is pulled",
            Self::PowerCut => "The power of the master's node is cut",
            Self::KilledWithLeader => "The processes of master and leading operator are killed",
            Self::ByHand => "A switchover is asked for",
            Self::Deleted => "The master's pod is deleted",
            Self::Drained => "The master's node is drained",
            Self::Rolled => "A changed spec is rolled out: all three pods are replaced",
            Self::Scaled => "Scaled from three instances to five, to two and back to three",
            Self::Big => "A changed spec is rolled out: 1 GB per instance, 20 MB/s of writes",
            Self::RolledWith(Middle::OperatorKilled) => {
                "A changed spec is rolled out, and the leading operator is killed in the middle"
            }
            Self::RolledWith(Middle::TargetKilled) => {
                "A changed spec is rolled out, and the next master is killed in the switchover"
            }
            Self::RolledWith(Middle::MasterHangs) => {
                "A changed spec is rolled out, and the master hangs in the switchover"
            }
            Self::RolledWith(Middle::CablePulled) => {
                "A changed spec is rolled out, and the cable of the master's node is pulled in the middle"
            }
        }
    }

    /// What the write gap must reach.
    pub fn bounds(self) -> Bounds {
        let (median, max) = match self {
            Self::Killed => (200.0, 1200.0),
            Self::Hung => (3200.0, 4400.0),
            Self::HungSooner => (2200.0, 3400.0),
            Self::CutOff | Self::PowerCut => (4500.0, 6000.0),
            Self::CutOffDurable => (7000.0, 9000.0),
            Self::CutOffWithLeader => (7500.0, 7500.0),
            Self::KilledWithLeader => (4500.0, 4500.0),
            Self::ByHand => (150.0, 1200.0),
            Self::RolledWith(Middle::OperatorKilled | Middle::TargetKilled) => (1300.0, 4400.0),
            Self::RolledWith(Middle::MasterHangs) => (4400.0, 6000.0),
            Self::RolledWith(Middle::CablePulled) => (6000.0, 9000.0),
            Self::Deleted | Self::Drained | Self::Rolled | Self::Scaled | Self::Big => (300.0, 1300.0),
        };
        Bounds {
            median,
            max,
            planned: self.is_planned(),
        }
    }

    /// The resource that it befalls.
    pub fn spec(self) -> Value {
        match self {
            Self::HungSooner => spec_with(3, json!({ "downAfter": "1s" })),
            Self::CutOffDurable => spec_with(3, json!({ "policy": "Durability" })),
            // what is written while a replica loads is kept for it, up to 256 MB unless this says more
            Self::Big => spec_with(
                3,
                json!({
                    "config": { "client-output-buffer-limit": "replica 2gb 1gb 300" },
                    "resources": { "limits": { "memory": "5Gi" }, "requests": { "memory": "256Mi" } },
                }),
            ),
            _ => spec(3),
        }
    }
}

/// A fault, and how often: `hung=20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What.
    pub fault: Fault,
    /// How often.
    pub count: usize,
}

impl FromStr for Wanted {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, count) = text
            .split_once('=')
            .with_context(|| format!("{text} is not NAME=COUNT"))?;
        let names = Fault::ALL.map(Fault::name).join(", ");
        let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name);
        Ok(Self {
            fault: fault.with_context(|| format!("no fault is called {name}, but: {names}"))?,
            count: count.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_names_its_fault() {
        let wanted: Wanted = "cable-durability=3".parse().unwrap();
        assert_eq!((wanted.fault, wanted.count), (Fault::CutOffDurable, 3));
        assert!("cable".parse::<Wanted>().is_err());
        assert!("flood=1".parse::<Wanted>().unwrap_err().to_string().contains("hung-1s"));
    }
}
