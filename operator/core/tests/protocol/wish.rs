//! What people ask for by annotations: done or refused once, with a reason, whatever fails meanwhile.

use crate::world::{Disk, Fault, Mood, World, pod_name, reasons};
use redis_operator_core::api::{Redis, RedisSpec};
use redis_operator_core::observed::Paused;
use redis_operator_core::plan::{Plan, Reason};
use redis_operator_core::record::{Outcome, Phase, Request, Stage};
use redis_operator_core::status::status;
use std::time::Duration;

fn ask(world: &mut World, value: &str) {
    world.desired.switchover = Some(value.to_owned());
}

fn answer(world: &World) -> Request {
    world.record().request.expect("an answer")
}

#[test]
fn by_hand_a_switchover_to_a_named_pod_is_done_once() {
    let mut world = World::healthy(3);
    ask(&mut world, &pod_name(2));
    let took = world.until(|world| world.published() == Some(2));
    assert!(took < Duration::from_millis(100), "{took:?}");
    world.settle();
    assert_eq!(answer(&world).outcome, Outcome::Done);
    let term = world.record().term;
    world.kill(2);
    world.start(2);
    world.settle_for(Duration::from_secs(300));
    assert_ne!(world.published(), Some(2), "what was answered is not done again");
    assert!(world.record().term > term);
    world.assert_nothing_lost();
}

#[test]
fn by_hand_the_same_wish_counts_again_once_it_was_taken_back() {
    let mut world = World::healthy(3);
    for master in [1, 0, 1] {
        ask(&mut world, "any");
        world.settle();
        assert_eq!(world.published(), Some(master), "{}", world.story());
        assert_eq!(answer(&world).outcome, Outcome::Done);
        world.desired.switchover = None;
        world.settle();
        assert_eq!(answer(&world).value, "", "the outcome stays");
        world.assert_healthy();
    }
}

#[test]
fn by_hand_what_cannot_be_is_refused_with_a_reason() {
    let refused = |prepare: fn(&mut World), value: &str, words: &str| {
        let mut world = World::healthy(3);
        prepare(&mut world);
        ask(&mut world, value);
        world.settle();
        let answer = answer(&world);
        assert_eq!(answer.outcome, Outcome::Refused, "{value}");
        assert!(answer.reason.contains(words), "{}", answer.reason);
        assert_eq!(world.published(), Some(0));
        assert_eq!(world.record().term, 1);
    };
    refused(|_| (), "redis-a-7", "there is no pod");
    refused(|_| (), "redis-b-1", "name one of redis-a-0, redis-a-1, redis-a-2");
    refused(|_| (), "", "there is no pod");
    refused(|_| (), "redis-a-0", "is the master already");
    refused(|world| world.server_mut(1).priority = 0, "redis-a-1", "has priority 0");
    refused(
        |world| world.pod_mut(1).evacuating = Some("cordoned".to_owned()),
        "redis-a-1",
        "leave its node",
    );
    refused(|world| world.kill(1), "redis-a-1", "does not answer, for a minute");
}

#[test]
fn by_hand_with_nobody_else_any_is_refused_after_a_minute() {
    let mut world = World::healthy(1);
    ask(&mut world, "any");
    let plan = world.settle_for(Duration::from_secs(30));
    assert_eq!(reasons(&plan), [Reason::SwitchoverWaits]);
    world.settle();
    assert_eq!(answer(&world).outcome, Outcome::Refused);
}

#[test]
fn by_hand_a_wish_waits_for_a_failover_and_for_joins() {
    let mut world = World::healthy(3);
    world.kill(0);
    ask(&mut world, &pod_name(2));
    world.until(|world| world.record().phase == Phase::Steady && world.published() == Some(1));
    world.start(0);
    world.settle();
    assert_eq!(world.published(), Some(2));
    assert_eq!(answer(&world).outcome, Outcome::Done);
    world.assert_healthy();
    world.assert_nothing_lost();
}

#[test]
fn by_hand_of_two_wishes_at_once_one_switchover_serves_both() {
    let mut world = World::healthy(3);
    ask(&mut world, &pod_name(2));
    world.delete(0);
    world.until(|world| world.published() == Some(2));
    world.vanish(0);
    world.settle();
    assert_eq!(answer(&world).outcome, Outcome::Done);
    assert_eq!(world.published(), Some(2));
    assert_eq!(world.record().term, 2);
}

#[test]
fn by_hand_one_that_does_not_catch_up_fails_once() {
    let mut world = World::healthy(2);
    world.stall(1);
    assert!(world.write_to(0));
    ask(&mut world, &pod_name(1));
    world.until(|world| world.record().request.is_some());
    assert_eq!(answer(&world).outcome, Outcome::Failed);
    assert_eq!(world.record().term, 1);
    assert_eq!(world.published(), Some(0));
}

#[test]
fn by_hand_it_is_answered_once_whatever_fails_at_any_step() {
    let calm = {
        let mut world = World::healthy(3);
        let begun = world.steps;
        ask(&mut world, "any");
        world.settle();
        world.steps - begun
    };
    for at in 0..calm {
        for fault in [Fault::Fail, Fault::Unknown, Fault::CrashBefore, Fault::CrashAfter] {
            let mut world = World::healthy(3);
            world.faults.insert(world.steps + at, fault);
            ask(&mut world, "any");
            world.settle();
            let moved = world.published() != Some(0);
            let truth = if moved { Outcome::Done } else { Outcome::Failed };
            assert_eq!(answer(&world).outcome, truth, "{fault:?} at {at}{}", world.story());
            assert_eq!(world.record().term, 2, "{fault:?} at {at}{}", world.story());
            world.assert_healthy();
            world.assert_nothing_lost();
        }
    }
}

#[test]
fn by_hand_paused_does_nothing_planned_and_replaces_a_failed_master() {
    let mut world = World::healthy(3);
    world.desired.paused = Paused::Planned;
    world.spec = 1;
    world.desired.replicas = 2;
    world.pod_mut(0).evacuating = Some("cordoned".to_owned());
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::Paused]);
    assert_eq!((world.pods.len(), world.record().term), (3, 1));
    world.kill(0);
    world.until(|world| world.published().is_some_and(|published| published != 0));
    world.start(0);
    world.desired.paused = Paused::No;
    world.settle();
    assert_eq!(world.pods.len(), 2);
    world.assert_nothing_lost();
}

#[test]
fn by_hand_paused_altogether_does_nothing() {
    let mut world = World::healthy(3);
    world.desired.paused = Paused::All;
    world.kill(0);
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::Paused]);
    assert_eq!(world.published(), Some(0));
    world.desired.paused = Paused::No;
    world.until(|world| world.published().is_some_and(|published| published != 0));
    world.assert_nothing_lost();
}

#[test]
fn by_hand_nonsense_is_said() {
    let mut world = World::healthy(3);
    world.desired.nonsense = vec!["it says yes".to_owned()];
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::AnnotationUnclear]);
}

#[test]
fn by_hand_a_restart_is_accepted_once_and_outlives_its_annotation() {
    let mut world = World::healthy(3);
    world.desired.restart = Some("2026-01-31T12:00:00Z".to_owned());
    world.settle();
    assert_eq!(world.record().restarted, world.desired.restart);
    let seq = world.record().seq;
    world.desired.restart = None;
    world.settle();
    assert_eq!(world.record().seq, seq);
}

#[test]
fn by_hand_a_restart_is_done_when_everybody_follows_anew_and_stays_done() {
    let mut world = World::healthy(3);
    world.desired.restart = Some("2026-01-31T12:00:00Z".to_owned());
    world.until(|world| world.record().restarted.is_some());
    world.spec += 1;
    let mut redis = Redis::new("a", RedisSpec::new("redis:7.0"));
    let mut outcome = |world: &mut World| {
        let seen = world.observe();
        let now = status(&redis, &seen, &Plan::default(), &[], None);
        redis.status = Some(now.clone());
        now.restart.and_then(|answer| answer.outcome)
    };
    for _ in 0..600 {
        let said = outcome(&mut world);
        let anew = world.pods.len() == 3 && world.pods.values().all(|pod| pod.spec == world.spec);
        let done = anew && world.record().at(Stage::Full).count() == 2;
        if !done {
            assert_eq!(said.as_deref(), Some("Rolling"), "{}", world.story());
        }
        world.pass_only();
        world.stateful_set();
        world.flow();
    }
    assert_eq!(outcome(&mut world).as_deref(), Some("Done"));
    // what happens to a pod later is no restart that somebody asked for
    world.kill(2);
    assert_eq!(outcome(&mut world).as_deref(), Some("Done"));
}

#[test]
fn by_hand_a_minute_begins_with_the_obstacle_and_not_with_the_wish() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Busy);
    ask(&mut world, &pod_name(2));
    world.settle();
    world.tick(Duration::from_secs(70));
    world.settle();
    world.cut.insert((pod_name(2), pod_name(0)));
    world.hang_up_on(&pod_name(0));
    world.mood(0, Mood::Fine);
    world.settle_for(Duration::from_secs(50));
    assert_eq!(world.record().request, None, "{}", world.story());
    world.cut.clear();
    world.settle();
    assert_eq!(answer(&world).outcome, Outcome::Done);
    assert_eq!(world.master(), 2);
}

#[test]
fn by_hand_one_that_joins_for_ever_is_named_and_nothing_waits_for_it() {
    let mut world = World::healthy(3);
    world.desired.replicas = 4;
    world.cut.insert((pod_name(3), pod_name(0)));
    world.settle();
    ask(&mut world, &pod_name(1));
    world.settle();
    assert_eq!(answer(&world).outcome, Outcome::Refused);
    assert!(
        answer(&world).reason.contains("redis-a-3 joins"),
        "{:?}",
        answer(&world)
    );
}

#[test]
fn by_hand_paused_altogether_a_master_that_serves_again_is_published() {
    let mut world = World::healthy(3);
    let (uid, address) = (world.pod(1).uid.clone(), world.pod(1).address.clone());
    let slice = world.slice.as_mut().unwrap();
    (slice.target, slice.address) = (Some(uid), Some(address));
    world.desired.paused = Paused::All;
    world.settle();
    assert_eq!(world.published(), Some(0), "{}", world.story());
}

#[test]
fn by_hand_one_that_cannot_be_told_anything_is_refused_after_a_minute() {
    let mut world = World::healthy(3);
    world.operator.withheld.insert(pod_name(1));
    world.new_operator();
    world.settle();
    ask(&mut world, &pod_name(1));
    let plan = world.settle_for(Duration::from_secs(30));
    assert!(reasons(&plan).contains(&Reason::SwitchoverWaits), "{plan:?}");
    world.settle();
    assert_eq!(answer(&world).outcome, Outcome::Refused);
    assert!(answer(&world).reason.contains("redis-a-1"), "{:?}", answer(&world));
}

/// `all` begins nothing; what is under way, and holds clients up, is ended first.
#[test]
fn by_hand_paused_altogether_in_the_middle_leaves_a_master_that_serves() {
    let begin = |killed: bool| {
        let mut world = World::healthy(3);
        if killed {
            world.kill(0);
        } else {
            ask(&mut world, "any");
        }
        world
    };
    for killed in [false, true] {
        let mut calm = begin(killed);
        let before = calm.steps;
        calm.settle();
        for steps in 1..calm.steps - before {
            for fault in [Fault::Fail, Fault::CrashAfter] {
                let mut world = begin(killed);
                let at = world.steps + steps;
                world.faults.insert(at, fault);
                world.until(|world| world.steps >= at);
                let begun = world.record().term > 1;
                world.desired.paused = Paused::All;
                let plan = world.settle_for(Duration::from_secs(10));
                assert!(reasons(&plan).contains(&Reason::Paused));
                world.tick(Duration::from_secs(3));
                assert_eq!(
                    world.record().phase,
                    Phase::Steady,
                    "{fault:?} {steps}{}",
                    world.story()
                );
                if begun || !killed {
                    assert!(world.write(), "killed {killed} {fault:?} at {steps}{}", world.story());
                } else {
                    assert_eq!(world.published(), Some(0), "none is begun");
                }
                world.desired.paused = Paused::No;
                world.settle();
                world.assert_nothing_lost();
            }
        }
    }
}

#[test]
fn by_hand_paused_altogether_a_restart_that_has_begun_is_ended() {
    let mut phases = vec![];
    for step in 1..=6 {
        let mut world = World::healthy_on(3, Disk::Rdb);
        (0..3).for_each(|ordinal| world.kill(ordinal));
        (0..3).for_each(|ordinal| world.start(ordinal));
        let at = world.steps + step;
        world.faults.insert(at, Fault::Fail);
        world.until(|world| world.steps >= at);
        phases.push(world.record().phase);
        world.desired.paused = Paused::All;
        world.settle();
        assert_eq!(world.record().phase, Phase::Steady, "{step}{}", world.story());
        world.desired.paused = Paused::No;
        world.settle();
        world.assert_nothing_lost();
    }
    assert!(phases.contains(&Phase::Promoting), "{phases:?}");
}

/// Whoever was chosen to go on ends before it is promoted, and begins again.
#[test]
fn by_hand_paused_altogether_a_restart_whose_chosen_one_restarts_is_ended() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    (0..3).for_each(|ordinal| world.kill(ordinal));
    (0..3).for_each(|ordinal| world.start(ordinal));
    world.until(|world| world.record().phase == Phase::Promoting);
    world.desired.paused = Paused::All;
    (0..3).for_each(|ordinal| world.restart(ordinal));
    world.settle();
    assert_eq!(world.record().phase, Phase::Steady, "{}", world.story());
    assert!(world.write());
    world.assert_nothing_lost();
}

#[test]
fn by_hand_paused_altogether_a_switchover_that_waits_is_given_up() {
    let mut world = World::healthy(3);
    world.stall(1);
    assert!(world.write());
    ask(&mut world, &pod_name(1));
    world.until(|world| world.record().phase == Phase::Switching);
    world.desired.paused = Paused::All;
    world.settle_for(Duration::from_millis(100));
    assert_eq!(world.record().phase, Phase::Steady);
    assert_eq!((world.published(), world.server(0).paused), (Some(0), None));
    assert_eq!(answer(&world).outcome, Outcome::Failed);
    assert!(answer(&world).reason.contains("paused"), "{:?}", answer(&world));
}

#[test]
fn by_hand_paused_altogether_leaves_nobody_frozen() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Hung);
    world.until(|world| world.server(1).follows_nobody() && world.server(2).follows_nobody());
    assert_eq!(world.record().phase, Phase::Electing);
    world.mood(0, Mood::Fine);
    // the record says Steady, and nobody is told to follow
    world.faults.insert(world.steps + 2, Fault::Fail);
    world.pass_only();
    assert_eq!(world.record().phase, Phase::Steady, "{}", world.story());
    assert!(world.server(1).follows_nobody());
    world.desired.paused = Paused::All;
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::Paused]);
    assert!(world.write(), "its guard has its replicas{}", world.story());
    assert_eq!(world.published(), Some(0));
}

#[test]
fn by_hand_paused_says_what_is_done_all_the_same() {
    let says = |world: &mut World, paused| {
        world.desired.paused = paused;
        let plan = world.pass_only();
        assert_eq!(reasons(&plan), [Reason::Paused]);
        let message = plan.notes[0].message.clone();
        let text = message.strip_suffix(", until the annotation redis-operator.dev/paused is removed");
        text.unwrap().to_owned()
    };
    let mut world = World::healthy(3);
    assert_eq!(
        says(&mut world, Paused::Planned),
        "nothing planned is done, though a master that fails is replaced"
    );
    assert_eq!(
        says(&mut world, Paused::All),
        "nothing is done, not even where the master fails"
    );
    world.desired.paused = Paused::No;
    ask(&mut world, "any");
    world.until(|world| world.record().phase == Phase::Switching);
    assert_eq!(
        says(&mut world, Paused::All),
        "the change of master that has begun is brought to an end, and then nothing is done, not even where the master fails"
    );
}
