//! Anything happens, in any order; then nothing more goes wrong, and the world comes to rest. `LAWS_CASES` sets how many.

use crate::laws::{seeded, setting};
use crate::world::{Disk, Fault, Mood, Pass, World, pod_name, reasons};
use proptest::prelude::*;
use proptest::sample::select;
use redis_operator_core::observed::Policy;
use redis_operator_core::plan::Reason;
use std::cell::Cell;
use std::time::Duration;

/// What may happen to a world. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Event {
    Pass,
    Write,
    Tick(u64),
    Kill(u32),
    KillUnnoticed(u32),
    Start(u32),
    Restart(u32),
    Vanish(u32),
    Force(u32),
    Delete(u32),
    LoseNode(u32),
    Mood(u32, Mood),
    Cut(u32, u32),
    Stall(u32),
    SlowSync(u32),
    Unreachable(u32),
    Rejecting(u32),
    Isolated(u32),
    Withheld(u32),
    Scale(u32),
    Prefer(u32, u32),
    Fault(u64, Fault),
    NewOperator,
    NoSlice,
    NoRecord,
    PromoteByHand(u32),
    FollowByHand(u32, u32),
}

fn fault() -> impl Strategy<Value = Fault> {
    select(vec![Fault::Fail, Fault::Unknown, Fault::CrashBefore, Fault::CrashAfter])
}

/// What happens by itself.
fn accident() -> impl Strategy<Value = Event> {
    let n = 0u32..5;
    prop_oneof![
        20 => Just(Event::Pass),
        5 => Just(Event::Write),
        4 => select(vec![1u64, 50, 1_000, 6_000]).prop_map(Event::Tick),
        2 => n.clone().prop_map(Event::Kill),
        2 => n.clone().prop_map(Event::KillUnnoticed),
        3 => n.clone().prop_map(Event::Start),
        2 => n.clone().prop_map(Event::Restart),
        1 => n.clone().prop_map(Event::Vanish),
        1 => n.clone().prop_map(Event::Force),
        1 => n.clone().prop_map(Event::Delete),
        1 => n.clone().prop_map(Event::LoseNode),
        1 => (n.clone(), select(vec![Mood::Fine, Mood::Hung, Mood::Busy, Mood::Loading]))
            .prop_map(|(n, mood)| Event::Mood(n, mood)),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Event::Cut(a, b)),
        1 => n.clone().prop_map(Event::Stall),
        1 => n.clone().prop_map(Event::SlowSync),
        1 => n.clone().prop_map(Event::Unreachable),
        1 => n.clone().prop_map(Event::Rejecting),
        1 => n.clone().prop_map(Event::Isolated),
        1 => n.clone().prop_map(Event::Withheld),
        2 => (1u32..5).prop_map(Event::Scale),
        1 => (n.clone(), select(vec![0u32, 10, 100])).prop_map(|(n, priority)| Event::Prefer(n, priority)),
        3 => (1u64..6, fault()).prop_map(|(at, fault)| Event::Fault(at, fault)),
        1 => Just(Event::NewOperator),
        1 => Just(Event::NoSlice),
    ]
}

/// What only people do.
fn meddling() -> impl Strategy<Value = Event> {
    let n = 0u32..5;
    prop_oneof![
        20 => accident(),
        1 => Just(Event::NoRecord),
        1 => n.clone().prop_map(Event::PromoteByHand),
        1 => (n.clone(), n).prop_map(|(a, b)| Event::FollowByHand(a, b)),
    ]
}

impl Event {
    fn happen(&self, world: &mut World) {
        let there = |n: &u32| world.pods.contains_key(&pod_name(*n));
        let runs = |n: &u32| there(n) && world.pod(*n).server.is_some();
        match self {
            Self::Pass => drop(world.pass()),
            Self::Write => drop(world.write()),
            Self::Tick(millis) => world.tick(Duration::from_millis(*millis)),
            Self::Kill(n) if runs(n) => world.kill(*n),
            Self::KillUnnoticed(n) if runs(n) => world.kill_unnoticed(*n),
            Self::Start(n) if there(n) && !runs(n) && !world.pod(*n).node_lost => {
                world.kill(*n);
                world.start(*n);
            }
            Self::Restart(n) if runs(n) => world.restart(*n),
            Self::Vanish(n) if there(n) => world.vanish(*n),
            Self::Force(n) if there(n) => world.vanish_unproved(*n),
            Self::Delete(n) if there(n) => world.delete(*n),
            Self::LoseNode(n) if runs(n) => world.lose_node(*n),
            Self::Mood(n, mood) if runs(n) => world.mood(*n, *mood),
            Self::Cut(a, b) => drop(world.cut.insert((pod_name(*a), pod_name(*b)))),
            Self::Stall(n) if runs(n) => world.stall(*n),
            Self::SlowSync(n) => drop(world.slow_sync.insert(pod_name(*n))),
            Self::Unreachable(n) => drop(world.unreachable.insert(pod_name(*n))),
            Self::Rejecting(n) => drop(world.rejecting.insert(pod_name(*n))),
            Self::Isolated(n) => drop(world.isolated.insert(pod_name(*n))),
            Self::Withheld(n) => drop(world.operator.withheld.insert(pod_name(*n))),
            Self::Scale(n) => world.desired.replicas = *n,
            Self::Prefer(n, priority) => world.prefer(*n, *priority),
            Self::Fault(at, fault) => drop(world.faults.insert(world.steps + at, *fault)),
            Self::NewOperator => world.new_operator(),
            Self::NoSlice => world.slice = None,
            Self::NoRecord => world.put_record(None),
            Self::PromoteByHand(n) if runs(n) => world.promote_by_hand(*n),
            Self::FollowByHand(a, b) if runs(a) && there(b) && a != b => world.follow_by_hand(*a, *b),
            _ => {}
        }
        world.stateful_set();
        world.flow();
        world.check();
    }
}

/// Nothing is wrong any more: nodes and networks are back, what died has been started again.
fn mend(world: &mut World) {
    world.cut.clear();
    world.slow_sync.clear();
    world.unreachable.clear();
    world.rejecting.clear();
    world.isolated.clear();
    world.operator.withheld.clear();
    world.faults.clear();
    world.pending.clear();
    let never: Vec<_> = world
        .priorities
        .iter()
        .filter(|(_, priority)| **priority == 0)
        .collect();
    let never: Vec<_> = never.into_iter().map(|(ordinal, _)| *ordinal).collect();
    never.into_iter().for_each(|ordinal| world.prefer(ordinal, 100));
    let ordinals: Vec<_> = world.pods.values().map(|pod| pod.ordinal).collect();
    for ordinal in ordinals {
        if world.pod(ordinal).deleting {
            world.vanish(ordinal);
            continue;
        }
        let pod = world.pod_mut(ordinal);
        pod.node_lost = false;
        match &mut pod.server {
            Some(server) => (server.mood, server.stalled) = (Mood::Fine, None),
            None => {
                world.kill(ordinal);
                world.start(ordinal);
            }
        }
    }
    world.stateful_set();
    world.outlive();
}

fn run(cases: u32, events: impl Strategy<Value = Event>, holds: impl Fn(u32, Disk, &[Event])) {
    let disk = select(vec![Disk::Memory, Disk::Memory, Disk::Rdb, Disk::Aof]);
    let strategy = (1u32..5, disk, prop::collection::vec(events, 1..40));
    let outcome = seeded(cases, 7).run(&strategy, |(replicas, disk, events)| {
        holds(replicas, disk, &events);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// The rest that is allowed: a person has to decide, and is told so.
fn comes_to_rest(world: &mut World, excuses: &[Reason]) {
    mend(world);
    let mut plan = world.settle();
    if world.published().is_none() {
        // time enough for kubelets to have outlived what was deleted by force since
        world.outlive();
        plan = world.settle();
    }
    if reasons(&plan).iter().any(|reason| excuses.contains(reason)) {
        return;
    }
    world.assert_healthy();
}

/// What a person may have to decide; the last one only after meddling.
const MAY_BE_ASKED: [Reason; 4] = [
    Reason::MasterOnSurplusPod,
    Reason::AmbiguousData,
    Reason::ForeignData,
    Reason::TwoMasters,
];

/// How many of each kind: three begin in different ways, and share the number.
fn cases() -> u32 {
    setting("LAWS_CASES", 2_000).div_ceil(3)
}

#[test]
fn law_8_it_comes_to_rest_after_any_accidents() {
    run(cases(), accident(), |replicas, disk, events| {
        let mut world = World::healthy_on(replicas, disk);
        for event in events {
            event.happen(&mut world);
        }
        let excuses: &[_] = match disk {
            Disk::Memory => &[Reason::MasterOnSurplusPod],
            Disk::Rdb | Disk::Aof => &MAY_BE_ASKED[..3],
        };
        comes_to_rest(&mut world, excuses);
    });
}

#[test]
fn law_8_it_comes_to_rest_after_meddling() {
    run(cases(), meddling(), |replicas, disk, events| {
        let mut world = World::healthy_on(replicas, disk);
        for event in events {
            event.happen(&mut world);
        }
        comes_to_rest(&mut world, &MAY_BE_ASKED);
    });
}

#[test]
fn law_8_a_first_start_comes_to_rest() {
    run(cases(), accident(), |replicas, disk, events| {
        let mut world = World::new(replicas, disk);
        for event in events {
            event.happen(&mut world);
        }
        comes_to_rest(&mut world, &MAY_BE_ASKED[..3]);
    });
}

/// What happens while a planned change runs: nothing fails, but the operator may die at any step.
fn planned() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => Just(Event::Pass),
        8 => Just(Event::Write),
        2 => (0u32..5).prop_map(Event::Stall),
        2 => (2u32..6).prop_map(Event::Scale),
        2 => (1u64..6, fault()).prop_map(|(at, fault)| Event::Fault(at, fault)),
        1 => Just(Event::NewOperator),
    ]
}

#[test]
fn promise_2_a_single_failure_loses_no_write_that_wait_acknowledged() {
    for policy in [Policy::Availability, Policy::Durability] {
        run(setting("LAWS_CASES", 2_000) / 20, planned(), |replicas, _, events| {
            let mut world = World::healthy(replicas + 1);
            world.desired.policy = policy;
            for event in events {
                if let Event::Stall(n) = event
                    && world.pods.contains_key(&pod_name(*n))
                    && world.server(*n).stalled.is_some()
                {
                    world.server_mut(*n).stalled = None;
                    continue;
                }
                event.happen(&mut world);
            }
            let Some(victim) = world.published() else { return };
            world.faults.clear();
            match events.len() % 5 {
                0 => world.restart(victim),
                1 => world.vanish(victim),
                2 => world.mood(victim, Mood::Hung),
                3 => drop(world.isolated.insert(pod_name(victim))),
                _ => world.kill_unnoticed(victim),
            }
            world.settle_for(Duration::from_secs(15));
            mend(&mut world);
            world.settle();
            world.assert_nothing_lost();
        });
    }
}

/// After every prefix of its next plan the operator dies, and another one decides afresh: each pass keeps every law, and
/// so does what it leads to. Gives the number of prefixes.
fn die_after_every_prefix(world: &World) -> u64 {
    let mut whole = world.clone();
    whole.faults.clear();
    let begun = whole.steps;
    whole.pass();
    let steps = whole.steps - begun;
    for done in 0..steps {
        let mut world = world.clone();
        world.faults.clear();
        world.faults.insert(begun + done + 1, Fault::CrashBefore);
        let (_, end) = world.pass();
        assert_eq!(end, Pass::Crashed, "before step {done}{}", world.story());
        for _ in 0..FRESH {
            world.stateful_set();
            world.flow();
            world.check();
            world.pass();
        }
        world.check();
    }
    steps
}

/// Passes of the operator that comes after: it takes over, and then goes on.
const FRESH: u32 = 3;

#[test]
fn law_10_any_prefix_of_a_plan_and_a_fresh_decision_keep_the_laws() {
    let (wanted, prefixes) = (u64::from(setting("LAWS_CASES", 2_000)), Cell::new(0));
    run(setting("LAWS_CASES", 2_000), accident(), |replicas, disk, events| {
        if prefixes.get() >= wanted {
            return;
        }
        let mut world = World::healthy_on(replicas, disk);
        for event in events {
            if matches!(event, Event::Pass) {
                prefixes.set(prefixes.get() + die_after_every_prefix(&world));
            }
            event.happen(&mut world);
        }
    });
    assert!(prefixes.get() >= wanted, "{} of {wanted} prefixes", prefixes.get());
}
