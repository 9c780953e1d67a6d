//! How long something is waited for, at the very moment at which that ends; and what is looked at again, and when.

use crate::world::{Disk, Link, Mood, World, answer_mut, pod_name, reasons};
use redis_operator_core::decide::decide;
use redis_operator_core::memory::{Attempts, Misdirected};
use redis_operator_core::observed::{Moment, Observed, Reach};
use redis_operator_core::plan::{Reason, Step};
use redis_operator_core::record::{Found, Phase, Stage};
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Three of which the master has been unreachable for so long.
fn silent_for(time: Duration) -> (World, Observed) {
    let mut world = World::healthy(3);
    world.isolated.insert(pod_name(0));
    world.observe();
    world.tick(time);
    let mut seen = world.observe();
    let reach = &mut seen.instances.get_mut(&pod_name(0)).unwrap().reach;
    *reach = Reach::Silent {
        since: seen.now.before(time),
        accepts: false,
    };
    (world, seen)
}

fn elects(seen: &Observed) -> bool {
    decide(seen).why == "elect"
}

#[test]
fn d23_a_master_that_answered_in_its_election_is_spared_for_half_a_minute() {
    let (world, mut seen) = silent_for(ms(5_000));
    assert!(elects(&seen));
    let mut spared = |run: &str, ago| {
        seen.memory.spared = Some((run.to_owned(), seen.now.before(ago)));
        !elects(&seen)
    };
    let run = world.server(0).run.clone();
    assert!(spared(&run, ms(29_999)));
    assert!(!spared(&run, ms(30_000)));
    assert!(!spared("another", ms(0)));
}

#[test]
fn d14_an_attempt_that_came_to_nothing_is_followed_by_a_pause() {
    let (world, mut seen) = silent_for(ms(5_000));
    let mut pauses = |run: &str, count, ago| {
        seen.memory.attempts = Some(Attempts {
            run_id: run.to_owned(),
            count,
            last: seen.now.before(ago),
        });
        !elects(&seen)
    };
    let run = world.server(0).run.clone();
    for (count, pause) in [(1, 1_000), (2, 2_000), (3, 4_000), (6, 30_000)] {
        assert!(pauses(&run, count, ms(pause - 1)));
        assert!(!pauses(&run, count, ms(pause)));
    }
    assert!(!pauses("another", 6, ms(0)));
}

#[test]
fn d02_the_witnesses_are_asked_again_soon_and_after_a_minute_now_and_then() {
    let wake = |time| {
        let (_, mut seen) = silent_for(time);
        for ordinal in [1, 2] {
            answer_mut(&mut seen, ordinal)
                .replication
                .upstream
                .as_mut()
                .unwrap()
                .heard_seconds = Some(0);
        }
        decide(&seen).wake
    };
    assert_eq!(wake(ms(5_000)), Some(ms(100)));
    assert_eq!(wake(ms(59_999)), Some(ms(100)));
    assert_eq!(wake(ms(60_000)), Some(ms(1_000)));
    assert_eq!(wake(ms(90_000)), Some(ms(1_000)));
}

/// Seconds are whole and prove one less; the offset of the stream is seen as often as a member is asked.
#[test]
fn d02_a_stream_that_stands_still_is_a_silence() {
    let heard = |still, seconds, link_up| {
        let (_, mut seen) = silent_for(ms(2_500));
        for ordinal in [1, 2] {
            let answer = answer_mut(&mut seen, ordinal);
            answer.still_since = answer.asked.before(ms(still));
            let upstream = answer.replication.upstream.as_mut().unwrap();
            (upstream.heard_seconds, upstream.link_up, upstream.down_seconds) = (seconds, link_up, Some(0));
        }
        reasons(&decide(&seen)).contains(&Reason::MasterUnclear)
    };
    assert!(heard(0, Some(2), true), "2 s told are one for sure");
    assert!(!heard(0, Some(3), true));
    assert!(heard(1_999, Some(2), true));
    assert!(!heard(2_000, Some(2), true));
    assert!(!heard(2_400, Some(2), true));
    assert!(heard(2_400, Some(1), true), "attached anew, which moves no offset");
    assert!(heard(9_000, None, false), "its link has just gone down");
}

#[test]
fn e02_no_election_begins_before_a_demoted_master_is_connected() {
    let mut world = World::healthy(3);
    let now = world.now;
    world.hang_up_on(&pod_name(0));
    world.server_mut(0).follow("127.0.0.1", now);
    world.operator.withheld.insert(pod_name(0));
    world.new_operator();
    world.settle_for(ms(3_000));
    assert_eq!((world.record().phase, world.record().term), (Phase::Steady, 1));
    world.operator.withheld.clear();
    world.settle_for(ms(3_000));
    assert_eq!(world.record().term, 2);
}

#[test]
fn e18_one_that_goes_soon_is_elected_only_if_it_alone_has_the_data() {
    let mut world = World::healthy(3);
    world.desired.replicas = 2;
    world.server_mut(2).priority = 10;
    world.kill(0);
    world.settle_for(ms(1_500));
    assert_eq!(world.published(), Some(1), "2 is beyond the wanted replicas");
    let mut world = World::healthy(3);
    world.pod_mut(1).deleting = true;
    world.kill(0);
    world.settle_for(ms(1_500));
    assert_eq!(world.published(), Some(2), "1 is being deleted");
}

#[test]
fn r18_a_pod_that_is_being_deleted_is_not_admitted() {
    let mut world = World::healthy(3);
    world.restart(2);
    world.delete(2);
    world.settle_for(ms(3_000));
    let run = world.server(2).run.clone();
    assert!(
        world
            .record()
            .members
            .values()
            .all(|member| member.process.run_id != run)
    );
}

#[test]
fn r03_a_member_about_to_be_full_is_looked_at_sooner_than_one_whose_link_is_quiet() {
    let mut world = World::healthy(3);
    let mut record = world.record();
    record.members.get_mut(&pod_name(1)).unwrap().stage = Stage::Joining;
    record.quorum = 1;
    world.put_record(Some(serde_json::to_value(record).unwrap()));
    let mut seen = world.observe();
    let mut wake = |heard, link_up| {
        let it = &mut answer_mut(&mut seen, 1).replication;
        it.offset = 0;
        let upstream = it.upstream.as_mut().unwrap();
        (upstream.heard_seconds, upstream.link_up) = (heard, link_up);
        let plan = decide(&seen);
        assert_eq!(plan.steps, []);
        plan.wake
    };
    assert_eq!(wake(Some(0), true), Some(ms(10)));
    assert_eq!(wake(Some(1), true), Some(ms(10)));
    assert_eq!(wake(Some(2), true), Some(ms(200)));
    assert_eq!(wake(Some(9), true), Some(ms(200)));
    assert_eq!(wake(Some(0), false), Some(ms(200)));
}

#[test]
fn d10_a_restart_waits_a_minute_for_those_that_do_not_answer() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    for ordinal in 0..3 {
        world.restart(ordinal);
    }
    world.mood(2, Mood::Loading);
    let mut seen = world.observe();
    let mut waits = |time| {
        seen.memory.nobody_since = Some(seen.now.before(time));
        let plan = decide(&seen);
        let left = (plan.why == "wait for pods").then_some(plan.wake).flatten();
        assert_eq!(
            left.is_none(),
            plan.steps.iter().any(|step| matches!(step, Step::Record(_))),
            "{plan:?}"
        );
        left
    };
    assert_eq!(waits(ms(0)), Some(ms(60_000)));
    assert_eq!(waits(ms(59_999)), Some(ms(1)));
    assert_eq!(waits(ms(60_000)), None);
    assert_eq!(waits(ms(90_000)), None);
}

#[test]
fn f17_a_fence_opens_three_seconds_after_the_last_client_was_sent_away_or_after_half_a_minute() {
    let mut world = World::healthy(3);
    world.server_mut(1).serves = false;
    let run = world.server(1).run.clone();
    let mut seen = world.observe();
    let mut wakes = |grown: u64, began: u64| {
        let at = |ago| Some(seen.now.before(ms(ago)));
        let misdirected = Misdirected {
            count: 0,
            grown: at(grown),
            began: at(began),
            ..Misdirected::default()
        };
        seen.memory.misdirected.insert(run.clone(), misdirected);
        let plan = decide(&seen);
        assert_eq!(
            plan.wake.is_none(),
            plan.steps.iter().any(|step| matches!(step, Step::Serve(_))),
            "{plan:?}"
        );
        plan.wake
    };
    assert_eq!(wakes(0, 10_000), Some(ms(3_000)));
    assert_eq!(wakes(2_999, 10_000), Some(ms(1)));
    assert_eq!(wakes(3_000, 10_000), None);
    assert_eq!(wakes(0, 29_999), Some(ms(3_000)));
    assert_eq!(wakes(0, 30_000), None);
}

#[test]
fn f12_a_replica_keeps_its_label_for_three_seconds_without_a_link() {
    let mut world = World::healthy(3);
    world.server_mut(1).link = Link::Down(None);
    world.cut.insert((pod_name(1), pod_name(0)));
    let mut seen = world.observe();
    let mut labelled = |down| {
        let upstream = answer_mut(&mut seen, 1).replication.upstream.as_mut().unwrap();
        (upstream.link_up, upstream.down_seconds) = (false, Some(down));
        let plan = decide(&seen);
        let off = plan.steps.iter().any(|step| matches!(step, Step::Label { .. }));
        (!off, plan.wake)
    };
    assert_eq!(labelled(2), (true, Some(ms(1_000))));
    assert!(!labelled(3).0);
    assert!(!labelled(4).0);
}

/// The stage that the second replica is given next, and when it is looked at again.
fn next_stage(seen: &Observed) -> (Option<Stage>, Option<Duration>) {
    let plan = decide(seen);
    let next = plan.steps.iter().find_map(|step| match step {
        Step::Record(next) => next.members.get(&pod_name(2)).map(|member| member.stage),
        _ => None,
    });
    (next, plan.wake)
}

#[test]
fn d21_a_silent_member_is_given_up_after_five_seconds_or_a_minute_if_it_was_joining() {
    for (stage, patience) in [(Stage::Full, 5_000), (Stage::Joining, 60_000)] {
        let mut world = World::healthy(3);
        let mut record = world.record();
        record.members.get_mut(&pod_name(2)).unwrap().stage = stage;
        world.put_record(Some(serde_json::to_value(record).unwrap()));
        let mut seen = world.observe();
        let mut silent = |time| {
            let since = seen.now.before(ms(time));
            seen.instances.get_mut(&pod_name(2)).unwrap().reach = Reach::Silent { since, accepts: false };
            next_stage(&seen)
        };
        assert_eq!(silent(patience - 3), (None, Some(ms(3))));
        assert_eq!(silent(patience).0, Some(Stage::Leaving));
        assert_eq!(silent(patience + 1).0, Some(Stage::Leaving));
    }
}

#[test]
fn d12_a_full_member_without_a_link_begins_again_after_five_seconds() {
    let mut seen = World::healthy(3).observe();
    let mut down = |seconds| {
        let upstream = answer_mut(&mut seen, 2).replication.upstream.as_mut().unwrap();
        (upstream.link_up, upstream.down_seconds) = (false, seconds);
        next_stage(&seen)
    };
    assert_eq!(down(Some(4)), (None, Some(ms(1_000))));
    assert_eq!(down(Some(5)).0, Some(Stage::Joining));
    assert_eq!(down(None).0, Some(Stage::Joining));
}

#[test]
fn d16_a_successor_that_does_nothing_for_half_a_minute_is_none() {
    let mut seen = World::healthy(3).observe();
    seen.holder = "another".to_owned();
    let mut takes_over = |time: Option<u64>| {
        seen.memory.succeeded = time.map(|time| (9, seen.now.before(ms(time))));
        let plan = decide(&seen);
        assert_eq!(plan.steps.is_empty(), plan.wake.is_some());
        plan.wake
    };
    assert_eq!(takes_over(None), None);
    assert_eq!(takes_over(Some(29_999)), Some(ms(1)));
    assert_eq!(takes_over(Some(30_000)), None);
}

#[test]
fn r06_a_target_has_two_seconds_to_catch_up_and_the_next_attempt_waits_for_five() {
    let mut world = World::healthy(3);
    world.desired.switchover = Some(pod_name(1));
    world.until(|world| world.record.is_some() && world.record().phase == Phase::Switching);
    let mut seen = world.observe();
    answer_mut(&mut seen, 1).replication.offset -= 10;
    let term = world.record().term;
    let mut waits = |time| {
        seen.memory.phase = Some((term, Phase::Switching, seen.now.before(ms(time))));
        decide(&seen).why
    };
    assert_eq!(waits(0), "wait for the target to catch up");
    assert_eq!(waits(1_999), "wait for the target to catch up");
    assert_eq!(waits(2_000), "the target does not catch up: end the switchover");
    assert_eq!(waits(3_000), "the target does not catch up: end the switchover");
}

#[test]
fn d16_a_successor_that_writes_again_is_waited_for_anew() {
    let mut world = World::healthy(3);
    let (mut seen, mut memory) = (world.observe(), world.operator.memory.clone());
    let begun = seen.now;
    let mut pass = |holder: &str, seq, after: u64| {
        let Found::Record(record) = &mut seen.record else {
            panic!()
        };
        (record.holder, record.seq) = (holder.to_owned(), seq);
        seen.now = Moment(begun.0 + after);
        memory.note(&seen);
        memory.succeeded.map(|(seq, since)| (seq, since.0 - begun.0))
    };
    assert_eq!(pass("another", 100, 0), Some((100, 0)));
    assert_eq!(pass("another", 100, 10), Some((100, 0)), "it does nothing");
    assert_eq!(pass("another", 101, 20), Some((101, 20)), "it does something");
    assert_eq!(pass("operator-1", 102, 30), None, "this one took over");
}

#[test]
fn d12_a_member_without_a_link_is_named_after_a_minute() {
    let mut world = World::healthy(2);
    world.cut.insert((pod_name(1), pod_name(0)));
    world.hang_up_on(&pod_name(0));
    world.settle_for(ms(10_000));
    let (mut seen, memory) = (world.observe(), world.operator.memory.clone());
    seen.memory = memory;
    let mut named = |time| {
        for linkless in seen.memory.linkless.values_mut() {
            linkless.since = seen.now.before(ms(time));
        }
        reasons(&decide(&seen)) == [Reason::MemberWithoutLink]
    };
    assert!(!named(59_999));
    assert!(named(60_000));
    assert!(named(90_000));
}

#[test]
fn a_preferred_one_becomes_master_after_a_minute() {
    let mut world = World::healthy(3);
    world.prefer(1, 10);
    world.settle_for(ms(1_000));
    let mut seen = world.observe();
    let run = world.server(0).run.clone();
    let mut after = |time| {
        seen.memory.preferable = Some((run.clone(), seen.now.before(ms(time))));
        let plan = decide(&seen);
        (plan.why, plan.wake)
    };
    assert_eq!(after(59_999), ("", Some(ms(1))));
    assert_eq!(after(60_000), ("begin a switchover", None));
}

#[test]
fn f12_a_replica_that_is_silent_for_a_moment_keeps_its_label() {
    let mut world = World::healthy(3);
    world.mood(1, Mood::Hung);
    let plan = world.settle_for(ms(4_000));
    assert_eq!(plan.steps, []);
    assert_eq!(world.pod(1).label.as_deref(), Some("replica"));
    world.settle_for(ms(2_000));
    assert_eq!(world.pod(1).label, None, "it has left");
}
