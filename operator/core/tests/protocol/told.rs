//! What people are told: the status of a resource, from what is observed.

use crate::world::{Link, Mood, World, answer_mut, pod_name};
use redis_operator_core::api::{Redis, RedisSpec, RedisStatus};
use redis_operator_core::decide::decide;
use redis_operator_core::names;
use redis_operator_core::observed::{Moment, Observed, Paused, Reach};
use redis_operator_core::plan::{Note, Plan, Reason};
use redis_operator_core::record::{Found, Outcome, Phase, Request, Stage};
use redis_operator_core::status::{Trouble, status, tells_the_same};
use std::time::Duration;

fn redis() -> Redis {
    Redis::new("a", RedisSpec::new("redis:7.0"))
}

fn told(seen: &Observed) -> RedisStatus {
    status(&redis(), seen, &decide(seen), &[], None)
}

/// Whether a condition holds, its reason and its message.
fn condition(status: &RedisStatus, type_: &str) -> (bool, String, String) {
    let it = status.conditions.iter().find(|it| it.type_ == type_).unwrap();
    assert_eq!(it.status, if it.status == "True" { "True" } else { "False" });
    (it.status == "True", it.reason.clone(), it.message.clone())
}

fn is(status: &RedisStatus, type_: &str, reason: &str) -> bool {
    let (holds, why, _) = condition(status, type_);
    assert_eq!(why, reason, "{type_}");
    holds
}

fn observed() -> Observed {
    World::healthy(3).observe()
}

fn record(seen: &mut Observed, change: impl Fn(&mut redis_operator_core::record::Record)) {
    let Found::Record(record) = &mut seen.record else {
        panic!()
    };
    change(record);
}

fn states(status: &RedisStatus) -> Vec<&str> {
    status.instances.iter().map(|it| it.state.as_deref().unwrap()).collect()
}

/// At three in the morning nobody wants to find out which name and which namespace.
#[test]
fn a_command_in_a_sentence_can_be_pasted() {
    let mut seen = observed();
    seen.record = Found::Nonsense("it is a list".to_owned());
    let mut redis = redis();
    redis.metadata.namespace = Some("shop".to_owned());
    let it = status(&redis, &seen, &decide(&seen), &[], None);
    let (_, _, message) = condition(&it, "Stalled");
    assert!(
        message.contains("kubectl patch redis a -n shop --subresource=status"),
        "{message}"
    );
}

#[test]
fn a_healthy_resource_is_ready() {
    let it = told(&observed());
    assert_eq!(
        (it.replicas, it.ready.as_deref(), it.ready_replicas),
        (Some(3), Some("3/3"), Some(3))
    );
    assert_eq!(
        (it.synced, it.master.as_deref(), it.safe_wait),
        (Some(2), Some("redis-a-0"), Some(1))
    );
    assert_eq!(
        (it.summary.as_deref(), it.selector.as_deref()),
        (Some("Ready"), Some("redis=a"))
    );
    let text = "redis-a-0 is published, 2 replicas are in sync".to_owned();
    assert_eq!(condition(&it, "Ready"), (true, "Serving".to_owned(), text));
    assert_eq!(
        condition(&it, "Available"),
        (true, "Published".to_owned(), "redis-a-0 takes writes".to_owned())
    );
    assert!(!is(&it, "Paused", "No") && !is(&it, "Stalled", "GoingOn"));
    assert_eq!(states(&it), ["Serving", "Synced", "Synced"]);
    let roles: Vec<_> = it.instances.iter().map(|it| it.role.as_deref().unwrap()).collect();
    assert_eq!(roles, [names::ROLE_MASTER, names::ROLE_REPLICA, names::ROLE_REPLICA]);
    let lags: Vec<_> = it.instances.iter().map(|it| it.lag).collect();
    assert_eq!(lags, [None, Some(0), Some(0)]);
    let [first, second, _] = it.instances.as_slice() else {
        panic!()
    };
    assert_eq!(
        (second.offset, second.priority, second.node.as_deref()),
        (first.offset, Some(100), Some("node-1"))
    );
}

#[test]
fn a_resource_is_not_ready_while_anything_is_missing() {
    let summary = |change: &dyn Fn(&mut Observed)| {
        let mut seen = observed();
        change(&mut seen);
        let it = status(&redis(), &seen, &Plan::default(), &[], None);
        (
            is_ready(&it),
            it.summary.clone().unwrap(),
            condition(&it, "Available").0,
        )
    };
    let joining = (false, "ReplicasJoining".to_owned(), true);
    assert_eq!(summary(&|_| {}), (true, "Ready".to_owned(), true));
    assert_eq!(summary(&|seen| answer_mut(seen, 0).guard = 0), joining, "E is not G");
    let unguarded = |seen: &mut Observed| {
        answer_mut(seen, 0).guard = 0;
        record(seen, |it| it.quorum = 0);
    };
    assert_eq!(summary(&unguarded), joining, "neither is what it is to be");
    let stage =
        |stage| move |seen: &mut Observed| record(seen, |it| it.members.get_mut(&pod_name(1)).unwrap().stage = stage);
    assert_eq!(summary(&stage(Stage::Joining)), joining);
    assert_eq!(summary(&|seen| answer_mut(seen, 1).serves = false), joining, "fenced");
    let unlinked = |seen: &mut Observed| answer_mut(seen, 1).replication.upstream.as_mut().unwrap().link_up = false;
    assert_eq!(summary(&unlinked), joining);
    assert_eq!(
        summary(&|seen| seen.instances.get_mut(&pod_name(1)).unwrap().stale = true),
        joining
    );
    assert_eq!(summary(&|seen| seen.desired.replicas = 2), joining, "a pod too many");
    assert_eq!(summary(&|seen| seen.desired.replicas = 4), joining, "a pod too few");
    let starting = (false, "Starting".to_owned(), false);
    assert_eq!(summary(&|seen| seen.slice = None), starting, "not published");
    assert_eq!(summary(&|seen| seen.slice.as_mut().unwrap().target = None), starting);
    let electing = (false, "ChangingMaster".to_owned(), false);
    assert_eq!(summary(&|seen| record(seen, |it| it.phase = Phase::Electing)), electing);
    assert_eq!(summary(&|seen| seen.record = Found::Absent), starting);
}

/// Of two instances one is missing, and a third stands in for it: a roll in memory, between a pod's end and the next one.
fn stood_in() -> Observed {
    let mut seen = observed();
    seen.desired.replicas = 2;
    seen.instances.remove(&pod_name(1));
    record(&mut seen, |it| drop(it.members.remove(&pod_name(1))));
    seen
}

#[test]
fn a_resource_that_has_enough_says_what_else_is_left() {
    let said = |seen: &Observed| {
        let it = status(&redis(), seen, &Plan::default(), &[], None);
        let (holds, _, message) = condition(&it, "Ready");
        assert!(!holds, "{message}");
        message
    };
    let but = |change: &dyn Fn(&mut Observed)| {
        let mut seen = observed();
        change(&mut seen);
        said(&seen)
    };
    assert_eq!(
        said(&stood_in()),
        "redis-a-0 is published; 2 of 2 instances are ready, but redis-a-2 is one more than wanted"
    );
    assert_eq!(
        but(&|seen| seen.instances.get_mut(&pod_name(1)).unwrap().stale = true),
        "redis-a-0 is published; 3 of 3 instances are ready, but redis-a-1 does not follow the present spec"
    );
    assert_eq!(
        but(&|seen| answer_mut(seen, 0).guard = 0),
        "redis-a-0 is published; 3 of 3 instances are ready, but the write guard is not set"
    );
    let gone = |seen: &mut Observed| {
        seen.desired.replicas = 2;
        seen.instances.remove(&pod_name(2));
        record(seen, |it| {
            it.members.get_mut(&pod_name(2)).unwrap().stage = Stage::Leaving
        });
    };
    assert_eq!(
        but(&gone),
        "redis-a-0 is published; 2 of 2 instances are ready, but redis-a-2 is Leaving"
    );
    assert_eq!(
        but(&|seen| seen.desired.replicas = 4),
        "redis-a-0 is published; 3 of 4 instances are ready"
    );
}

fn is_ready(status: &RedisStatus) -> bool {
    condition(status, "Ready").0
}

/// A script, a fork, a moment without processor: nobody is to be woken for it.
#[test]
fn d13_a_master_is_available_for_a_moment_after_it_answered() {
    let told = |mood: Option<Mood>, wait| {
        let mut world = World::healthy(3);
        match mood {
            Some(mood) => world.mood(0, mood),
            None => world.kill_unnoticed(0),
        }
        world.tick(Duration::from_millis(wait));
        let seen = world.observe();
        let it = status(&redis(), &seen, &decide(&seen), &[], None);
        let stalled = condition(&it, "Stalled").0;
        (is_ready(&it), condition(&it, "Available").0, stalled)
    };
    assert_eq!(told(Some(Mood::Hung), 1_900), (true, true, false));
    assert_eq!(told(Some(Mood::Hung), 2_000), (false, false, false));
    assert_eq!(told(Some(Mood::Busy), 1_900), (true, true, false));
    assert_eq!(told(Some(Mood::Busy), 2_000), (false, false, true));
    assert!(!told(None, 100).1, "refused");
}

/// It is the operator that is cut off: clients are served.
#[test]
fn d04_a_master_that_a_replica_hears_is_available() {
    let mut world = World::healthy(3);
    world.unreachable.insert(pod_name(0));
    world.observe();
    world.tick(Duration::from_secs(9));
    world.flow();
    let seen = world.observe();
    let it = status(&redis(), &seen, &decide(&seen), &[], None);
    assert_eq!(it.master, Some(pod_name(0)));
    let (available, reason, message) = condition(&it, "Available");
    assert!(available && reason == "Published", "{message}");
    assert_eq!(message, "redis-a-1 hears redis-a-0, which does not answer the operator");
    let (ready, reason, message) = condition(&it, "Ready");
    assert!(!ready && reason == "MasterUnclear", "{message}");
    let but = |change: &dyn Fn(&mut Observed)| {
        let mut seen = seen.clone();
        change(&mut seen);
        let it = status(&redis(), &seen, &Plan::default(), &[], None);
        let (available, _, message) = condition(&it, "Available");
        assert_eq!(message, "no master that answers is published");
        (available, it.master)
    };
    assert_eq!(but(&|seen| seen.slice = None), (false, Some(pod_name(0))));
    let electing = |seen: &mut Observed| record(seen, |it| it.phase = Phase::Electing);
    assert_eq!(but(&electing), (false, None));
}

#[test]
fn d13_a_master_that_was_silent_for_a_moment_takes_writes_as_far_as_is_known() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Hung);
    world.tick(Duration::from_millis(1_000));
    let it = told(&world.observe());
    assert_eq!(condition(&it, "Available").2, "redis-a-0 takes writes");
}

#[test]
fn a_change_of_master_says_why() {
    let said = |phase, master: bool| {
        let mut seen = observed();
        record(&mut seen, |it| {
            (it.phase, it.reason) = (phase, "its master hangs".to_owned());
            it.master = it.master.take().filter(|_| master);
        });
        condition(&status(&redis(), &seen, &Plan::default(), &[], None), "Ready").2
    };
    assert_eq!(
        said(Phase::Electing, true),
        "another master is elected: its master hangs"
    );
    assert_eq!(
        said(Phase::Promoting, true),
        "another master is elected: its master hangs"
    );
    assert_eq!(said(Phase::Switching, true), "the master hands over to another one");
    assert_eq!(said(Phase::Promoting, false), "no master is published yet");
}

#[test]
fn what_somebody_has_to_put_right_comes_first() {
    let trouble = Trouble {
        reason: "NameTaken".to_owned(),
        message: "somebody else's".to_owned(),
    };
    let note = |reason| Plan {
        notes: vec![Note {
            reason,
            message: "a note".to_owned(),
        }],
        ..Plan::default()
    };
    let it = status(
        &redis(),
        &observed(),
        &note(Reason::Rolling),
        std::slice::from_ref(&trouble),
        None,
    );
    assert!(!is(&it, "Ready", "NameTaken") && is(&it, "Available", "Published"));
    assert_eq!(
        condition(&it, "Stalled"),
        (true, "NameTaken".to_owned(), "somebody else's".to_owned())
    );
    let mut seen = observed();
    answer_mut(&mut seen, 0).guard = 0;
    let with = |plan: &Plan| status(&redis(), &seen, plan, &[], None);
    let it = with(&note(Reason::WaitingForPods));
    assert!(
        !is(&it, "Ready", "WaitingForPods") && !is(&it, "Stalled", "GoingOn"),
        "it goes on by itself"
    );
    let it = with(&note(Reason::MasterUnclear));
    assert!(!is(&it, "Ready", "MasterUnclear") && is(&it, "Stalled", "MasterUnclear"));
    let mut seen = observed();
    seen.desired.paused = Paused::Planned;
    assert!(is(&told(&seen), "Paused", "Planned"));
}

#[test]
fn a_pod_that_cannot_run_is_named_with_what_kubernetes_says() {
    let mut seen = observed();
    let says = |seen: &Observed, class: Option<&str>| {
        let mut spec = serde_json::to_value(RedisSpec::new("redis:7.0")).unwrap();
        spec["storage"] = serde_json::json!({"size": "1Gi", "storageClassName": class});
        let redis = Redis::new("a", serde_json::from_value(spec).unwrap());
        condition(&status(&redis, seen, &Plan::default(), &[], None), "Stalled").2
    };
    let claim = "unbound immediate PersistentVolumeClaims";
    let pod = seen.instances.get_mut(&pod_name(2)).unwrap();
    pod.trouble = Some(claim.to_owned());
    assert_eq!(says(&seen, Some("fast")), "nothing waits for a person", "it answers");
    seen.instances.get_mut(&pod_name(2)).unwrap().reach = Reach::Untried;
    assert!(says(&seen, None).starts_with(&format!("redis-a-2: {claim}; has the cluster a default storage class")));
    assert!(says(&seen, Some("fast")).starts_with(&format!("redis-a-2: {claim}; has storage class fast")));
    seen.instances.get_mut(&pod_name(2)).unwrap().trouble = Some("no such image".to_owned());
    assert_eq!(says(&seen, Some("fast")), "redis-a-2: no such image");
}

#[test]
fn each_instance_says_what_it_does() {
    let state = |change: &dyn Fn(&mut World)| {
        let mut world = World::healthy(3);
        change(&mut world);
        let it = told(&world.observe());
        states(&it)[1].to_owned()
    };
    let stage = |stage| {
        move |world: &mut World| {
            let mut record = world.record();
            record.members.get_mut(&pod_name(1)).unwrap().stage = stage;
            world.put_record(Some(serde_json::to_value(record).unwrap()));
        }
    };
    assert_eq!(state(&stage(Stage::Joining)), "Joining");
    assert_eq!(state(&stage(Stage::Leaving)), "Leaving");
    assert_eq!(state(&|world| world.restart(1)), "Fenced");
    assert_eq!(state(&|world| world.mood(1, Mood::Loading)), "Loading");
    assert_eq!(state(&|world| world.mood(1, Mood::Busy)), "Busy");
    assert_eq!(state(&|world| world.kill(1)), "Down");
    assert_eq!(state(&|world| world.mood(1, Mood::Hung)), "Silent");
    assert_eq!(state(&|world| world.pod_mut(1).address.clear()), "Starting");
    let mut world = World::healthy(3);
    world.restart(0);
    let it = told(&world.observe());
    assert_eq!(
        (states(&it)[0], it.instances[0].role.as_deref()),
        ("Fenced", Some("replica")),
        "another process"
    );
}

/// What a server says that cannot be understood, as the operator's connection words it.
const GARBAGE: [&str; 4] = [
    "unreadable reply: INFO has no field run_id; is this Redis or Valkey?",
    "closed within a reply",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "that it is version 6.2.14; needed is Redis 7.0 or later, or Valkey",
];

#[test]
fn b05_garbage_from_the_master_is_a_condition_and_no_failover() {
    for said in GARBAGE {
        let mut seen = observed();
        let master = seen.instances.get_mut(&pod_name(0)).unwrap();
        (master.reach, master.last) = (Reach::Alive(said.to_owned()), None);
        let plan = decide(&seen);
        assert!(plan.steps.is_empty(), "{plan:?}");
        let it = status(&redis(), &seen, &plan, &[], None);
        let (stalled, reason, message) = condition(&it, "Stalled");
        assert!(stalled && reason == "MasterUnclear", "{reason}");
        assert!(message.contains("redis-a-0") && message.contains(said), "{message}");
        assert_eq!((states(&it)[0], is_ready(&it)), ("Unreadable", false));
        assert_eq!(it.instances[0].role, None);
    }
}

#[test]
fn b05_f07_garbage_from_a_replica_is_a_condition_and_leaves_the_others_alone() {
    for said in GARBAGE {
        let mut seen = observed();
        seen.instances.get_mut(&pod_name(1)).unwrap().reach = Reach::Alive(said.to_owned());
        let it = told(&seen);
        let (stalled, reason, message) = condition(&it, "Stalled");
        assert!(stalled && reason == "InstanceUnreadable", "{reason}");
        for word in ["redis-a-1 (10.", said, "spec.image", "7.0 or later"] {
            assert!(message.contains(word), "{word}: {message}");
        }
        assert_eq!(states(&it), ["Serving", "Unreadable", "Synced"]);
        assert_eq!((it.ready.as_deref(), is_ready(&it)), (Some("2/3"), false));
        assert!(is(&it, "Available", "Published"));
    }
    // at work is not unreadable
    for said in [
        "BUSY Redis is busy running a script.",
        "LOADING Redis is loading the dataset in memory",
    ] {
        let mut seen = observed();
        seen.instances.get_mut(&pod_name(1)).unwrap().reach = Reach::Alive(said.to_owned());
        let it = told(&seen);
        assert_eq!(states(&it)[1], "Busy");
        assert!(!condition(&it, "Stalled").0);
    }
}

#[test]
fn a_resource_without_a_password_says_so() {
    let (open, mut closed) = (redis(), redis());
    let password = serde_json::json!({"secretKeyRef": {"name": "login", "key": "password"}});
    closed.spec.password = Some(serde_json::from_value(password).unwrap());
    let of = |redis: &Redis| {
        let seen = observed();
        status(redis, &seen, &decide(&seen), &[], None)
    };
    let (holds, reason, message) = condition(&of(&open), "Unprotected");
    assert!(
        holds && reason == "NoPassword" && message.contains("spec.password"),
        "{message}"
    );
    assert!(!is(&of(&closed), "Unprotected", "PasswordSet"));
    assert!(is_ready(&of(&open)) && is_ready(&of(&closed)));
}

#[test]
fn a_lag_is_in_bytes_and_never_below_zero() {
    let mut seen = observed();
    answer_mut(&mut seen, 1).replication.offset -= 30;
    answer_mut(&mut seen, 2).replication.offset += 30;
    let lags: Vec<_> = told(&seen).instances.iter().map(|it| it.lag).collect();
    assert_eq!(lags, [None, Some(30), Some(0)]);
}

#[test]
fn offsets_alone_are_no_reason_to_write_a_status() {
    let seen = observed();
    let mut moved = seen.clone();
    answer_mut(&mut moved, 1).replication.offset -= 30;
    let (before, after) = (told(&seen), told(&moved));
    assert!(before != after && tells_the_same(&before, &after));
    let mut other = before.clone();
    other.master = None;
    assert!(!tells_the_same(&before, &other));
}

#[test]
fn by_hand_what_was_asked_for_is_answered_in_the_status() {
    let mut seen = observed();
    assert_eq!((told(&seen).switchover, told(&seen).restart), (None, None));
    for (value, request) in [("any", Some("any")), ("", None)] {
        record(&mut seen, |it| {
            it.request = Some(Request {
                value: value.to_owned(),
                outcome: Outcome::Refused,
                from: None,
                reason: "priority 0".to_owned(),
                at: "then".to_owned(),
            });
        });
        let answer = told(&seen).switchover.unwrap();
        assert_eq!(answer.request.as_deref(), request);
        assert_eq!(
            (answer.outcome.as_deref(), answer.reason.as_deref()),
            (Some("Refused"), Some("priority 0"))
        );
    }
}

#[test]
fn f12_a_replica_whose_link_is_down_is_not_counted_as_synced() {
    let mut world = World::healthy(3);
    world.cut.insert((pod_name(1), pod_name(0)));
    world.server_mut(1).link = Link::Down(None);
    world.settle_for(Duration::from_secs(1));
    let it = told(&world.observe());
    assert_eq!((it.synced, it.ready.as_deref()), (Some(1), Some("2/3")));
    assert!(!is_ready(&it));
}

#[test]
fn by_hand_a_restart_is_followed_to_its_end_in_the_status() {
    let mut seen = observed();
    let mut redis = redis();
    let mut answer = |seen: &Observed| {
        let it = status(&redis, seen, &decide(seen), &[], None);
        redis.status = Some(it.clone());
        it.restart.map(|it| (it.request.unwrap(), it.outcome.unwrap()))
    };
    let is = |request: &str, outcome: &str| Some((request.to_owned(), outcome.to_owned()));
    seen.desired.restart = Some("first".to_owned());
    assert_eq!(answer(&seen), None, "not accepted yet");
    seen.desired.paused = Paused::Planned;
    assert_eq!(answer(&seen), is("first", "Waiting"));
    seen.desired.paused = Paused::No;
    record(&mut seen, |it| it.restarted = Some("first".to_owned()));
    seen.instances.get_mut(&pod_name(2)).unwrap().stale = true;
    assert_eq!(answer(&seen), is("first", "Rolling"));
    seen.desired.paused = Paused::Planned;
    assert_eq!(
        answer(&seen),
        is("first", "Rolling"),
        "it was accepted before the pause"
    );
    seen.instances.get_mut(&pod_name(2)).unwrap().stale = false;
    let mut one_is_missing = stood_in();
    one_is_missing.desired.restart.clone_from(&seen.desired.restart);
    record(&mut one_is_missing, |it| it.restarted.clone_from(&seen.desired.restart));
    assert_eq!(
        answer(&one_is_missing),
        is("first", "Rolling"),
        "another stands in for it"
    );
    assert_eq!(answer(&seen), is("first", "Done"));
    seen.slice = None;
    assert_eq!(answer(&seen), is("first", "Done"), "it stays done");
    seen.desired.restart = Some("second".to_owned());
    assert_eq!(answer(&seen), is("second", "Waiting"), "paused, and asked for anew");
}

/// Whether there is a record or none: a policy that was never opened is the usual reason.
#[test]
fn f07_an_instance_that_runs_and_is_not_reached_is_told_after_a_minute() {
    for recorded in [true, false] {
        let told_after = |seconds: u64| {
            let mut seen = observed();
            if !recorded {
                seen.record = Found::Absent;
            }
            let since = seen.now;
            seen.now = Moment(since.0 + seconds * 1_000_000);
            for (ordinal, reach) in [
                (1, Reach::Silent { since, accepts: false }),
                (2, Reach::Refused { since }),
            ] {
                seen.instances.get_mut(&pod_name(ordinal)).unwrap().reach = reach;
            }
            let it = told(&seen);
            let (stalled, reason, message) = condition(&it, "Stalled");
            (stalled && reason == "InstanceUnreachable").then(|| message.to_owned())
        };
        assert_eq!(told_after(59), None);
        let message = told_after(60).unwrap();
        for word in ["redis-a-1", "6379", "network policy", "node-1"] {
            assert!(message.contains(word), "{word}: {message}");
        }
    }
    // one that waits for its container, or has ended, has its own sentence
    let mut seen = observed();
    let since = seen.now;
    seen.now = Moment(since.0 + 90_000_000);
    let instance = seen.instances.get_mut(&pod_name(1)).unwrap();
    instance.reach = Reach::Refused { since };
    instance.container.waiting = Some("CrashLoopBackOff".to_owned());
    assert_ne!(condition(&told(&seen), "Stalled").1, "InstanceUnreachable");
}
