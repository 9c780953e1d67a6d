//! Law 7: where all is well nothing is done, whatever else differs from one healthy resource to another.

use super::setting;
use crate::world::{Disk, World};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::TestCaseError;
use redis_operator_core::decide::decide;
use redis_operator_core::memory::Memory;
use redis_operator_core::observed::{Instance, Moment, Observed, Policy, Reach};
use redis_operator_core::plan::Plan;
use redis_operator_core::record::Found;
use std::sync::LazyLock;
use std::time::Duration;

/// Healthy resources of every size, on every disk, some of which had another master before.
static HEALTHY: LazyLock<Vec<Observed>> = LazyLock::new(|| {
    let mut all = vec![];
    for disk in [Disk::Memory, Disk::Rdb, Disk::Aof] {
        for replicas in 1..=5 {
            let mut world = World::healthy_on(replicas, disk);
            all.push(world.observe());
            for _ in 0..2 {
                let master = world.master();
                world.restart(master);
                world.settle();
                world.assert_healthy();
                all.push(world.observe());
            }
        }
    }
    all
});

/// What may differ and means nothing.
#[derive(Clone, Debug)]
struct Whims {
    /// Writes, in bytes of every instance's history.
    written: u64,
    keys: u64,
    /// Bytes and seconds that replicas are behind, as a healthy link is.
    behind: Vec<u64>,
    heard: Vec<u64>,
    misdirected: Vec<u64>,
    version: String,
    restarts: u32,
    /// How long the operator has watched it.
    watched: Duration,
    policy: Policy,
    down_after: Duration,
    /// Annotations that were forgotten.
    elect: Option<u32>,
    ended: Option<String>,
    restarted: bool,
    /// Pods that have held a copy once.
    copies: Vec<u32>,
    reason: String,
    term: u64,
}

prop_compose! {
    fn whims()(
        numbers in (0u64..1 << 40, 1u64..1_000_000, 0u32..9, 1u64..1_000),
        behind in prop::collection::vec(0u64..5_000, 5),
        heard in prop::collection::vec(0u64..2, 5),
        misdirected in prop::collection::vec(0u64..50, 5),
        version in select(vec!["7.0.15", "7.2.4", "8.1.1", "9.0.0"]),
        watched in select(vec![0u64, 900, 7_000, 100_000_000]),
        desired in (select(vec![Policy::Availability, Policy::Durability]), select(vec![500u64, 2_000, 600_000])),
        elect in prop::option::of(0u32..6),
        ended in prop::option::of(Just("0123456789abcdef".to_owned())),
        restarted in any::<bool>(),
        copies in subsequence((0..6).collect::<Vec<_>>(), 0..=6),
        reason in select(vec!["", "First start", "Adopted", "the master ended"]),
    ) -> Whims {
        let (written, keys, restarts, term) = numbers;
        Whims {
            written, keys, behind, heard, misdirected, version: version.to_owned(), restarts, elect, ended, restarted, copies,
            watched: Duration::from_millis(watched),
            policy: desired.0,
            down_after: Duration::from_millis(desired.1),
            reason: reason.to_owned(),
            term,
        }
    }
}

impl Whims {
    fn change(&self, seen: &mut Observed) {
        let pod = |n: u32| format!("redis-a-{n}");
        seen.desired.policy = self.policy;
        seen.desired.down_after = self.down_after;
        seen.desired.elect = self.elect.map(pod);
        seen.desired.ended.extend(self.ended.clone());
        let restart = self.restarted.then(|| "2026-01-31T12:00:00Z".to_owned());
        seen.desired.restart.clone_from(&restart);
        seen.desired.restarted.clone_from(&restart);
        if let Found::Record(record) = &mut seen.record {
            record.restarted = restart;
            record.elected.clone_from(&seen.desired.elect);
            record.copies.extend(self.copies.iter().copied().map(pod));
            record.reason.clone_from(&self.reason);
            record.term += self.term;
            if let Some(slice) = &mut seen.slice {
                slice.term += self.term;
            }
        }
        for (n, instance) in seen.instances.values_mut().enumerate() {
            self.change_instance(n, instance);
        }
    }

    fn change_instance(&self, n: usize, instance: &mut Instance) {
        instance.container.restarts = self.restarts;
        let Reach::Answers(answer) = &mut instance.reach else {
            return;
        };
        let it = &mut answer.replication;
        it.version.clone_from(&self.version);
        it.misdirected += self.misdirected[n];
        it.keys = self.keys;
        it.offset += self.written;
        if let Some(upstream) = &mut it.upstream {
            upstream.heard_seconds = Some(self.heard[n]);
            upstream.read_offset = it.offset;
            // what the master wrote since it was asked
            it.offset -= self.behind[n].min(self.written);
        }
    }
}

/// What is decided by an operator that has watched it for so long.
fn decided(mut seen: Observed, watched: Duration) -> Plan {
    let mut memory = Memory::default();
    memory.note(&seen);
    memory.settle(&seen, &Plan::default());
    seen.now = Moment(seen.now.0 + u64::try_from(watched.as_micros()).unwrap());
    for instance in seen.instances.values_mut() {
        if let Reach::Answers(answer) = &mut instance.reach {
            answer.asked = seen.now;
        }
    }
    memory.note(&seen);
    seen.memory = memory;
    decide(&seen)
}

#[test]
fn law_7_a_healthy_observation_yields_an_empty_plan() {
    let strategy = (any::<Index>(), whims());
    let outcome = super::runner().run(&strategy, |(which, whims)| {
        let mut seen = which.get(&HEALTHY).clone();
        whims.change(&mut seen);
        let plan = decided(seen, whims.watched);
        let nothing = plan.steps.is_empty() && plan.wake.is_none() && plan.notes.is_empty();
        if nothing {
            return Ok(());
        }
        Err(TestCaseError::fail(format!("law 7: {plan:#?}")))
    });
    assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    assert!(setting("LAWS_CASES", 2_000) > 0 && HEALTHY.len() == 45);
}

/// The law above could not fail if nothing of an observation mattered.
#[test]
fn law_7_something_is_done_where_one_thing_is_wrong() {
    let wrong: [fn(&mut Observed); 3] = [
        |seen| seen.slice = None,
        |seen| seen.holder = "another".to_owned(),
        |seen| seen.instances.values_mut().for_each(|it| it.label = None),
    ];
    for (n, wrong) in wrong.iter().enumerate() {
        let mut seen = HEALTHY[3 * 3].clone();
        assert_eq!(decided(seen.clone(), Duration::ZERO), Plan::default());
        wrong(&mut seen);
        assert_ne!(decided(seen, Duration::ZERO), Plan::default(), "{n}");
    }
}
