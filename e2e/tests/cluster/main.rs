//! Tests on a real cluster with the operator in it, named after the scenarios that they show.
//!
//! They need `make cluster deploy`; `scripts/cluster-tests d01` runs those with that in their names, inside the cluster's
//! network. Each has its cluster for itself, but for those which that script names; one that changes no spec borrows a Redis.

mod alone;
mod bad_input;
mod by_hand;
mod candidates;
mod control;
mod control_plane;
mod crash;
mod drain;
mod failover;
mod lifecycle;
mod load;
mod neighbours;
mod objects;
mod operator;
mod readiness;
mod restart;
mod roll;
mod scaling;
mod silence;
mod switchover;
mod upgrade;

use anyhow::Result;
use e2e::fault::Signal;
use e2e::limit::Limit;
use e2e::log::Micros;
use e2e::subject::{Settled, Subject};
use std::time::Duration;

/// First start of a resource, images present.
const START: Duration = Duration::from_secs(60);
/// Restart of containers, kubelet's back-off included, and joining.
const SETTLE: Duration = Duration::from_secs(90);
/// A condition shows what is wrong within this: kubelet may have to try something first.
const SAY: Duration = Duration::from_secs(30);
/// Writes before a fault whose gap is not measured in milliseconds.
const WARM_UP: Duration = Duration::from_secs(1);
/// The longest time in which nobody can write while a killed master is replaced.
const GAP: Duration = Duration::from_millis(1200);

/// The longest time in which nobody can write in a planned change: the switchover, and kube-proxy's second if it has just
/// synced.
const PLANNED_GAP: Duration = Duration::from_millis(1_300);

/// Either of them where other tests run beside it: the processors are theirs too, and what they publish makes kube-proxy
/// sync at any time, after which it waits for a second. What has to wait for another leader, or for a guard, takes longer.
const BESIDE_GAP: Limit = Limit {
    published: Duration::from_millis(2_500),
    written: Duration::from_millis(4_000),
};

/// Ends the master's process without asking.
fn kill_master(subject: &Subject, settled: &Settled) -> Result<Micros> {
    subject.process(&settled.master)?.send(Signal::Kill)
}
