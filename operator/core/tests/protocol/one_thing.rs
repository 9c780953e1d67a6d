//! Where all is well one thing is otherwise, as an observation shows it: what is made of that, and of nothing like it.

use crate::world::{Disk, World, answer_mut, pod_name, reasons};
use redis_operator_core::decide::{View, decide};
use redis_operator_core::memory::{Memory, Misdirected};
use redis_operator_core::names::replication_user;
use redis_operator_core::observed::{Answer, Instance, Moment, Observed, Paused, Reach};
use redis_operator_core::plan::{Label, Plan, Reason, Step};
use redis_operator_core::record::{Found, Outcome, Record, Stage};
use redis_operator_core::replication::{NOWHERE, Role};
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn healthy(replicas: u32) -> Observed {
    World::healthy(replicas).observe()
}

fn but(mut seen: Observed, change: impl Fn(&mut Observed)) -> Observed {
    change(&mut seen);
    seen
}

fn instance(seen: &mut Observed, ordinal: u32) -> &mut Instance {
    seen.instances.get_mut(&pod_name(ordinal)).unwrap()
}

fn record(seen: &mut Observed) -> &mut Record {
    match &mut seen.record {
        Found::Record(record) => record,
        other => panic!("{other:?}"),
    }
}

fn of(seen: &Observed) -> &Record {
    seen.record.record().unwrap()
}

/// The next record of a plan.
fn next(plan: &Plan) -> Option<&Record> {
    plan.steps.iter().find_map(|step| match step {
        Step::Record(next) => Some(&**next),
        _ => None,
    })
}

fn cut(seen: &mut Observed, ordinal: u32) {
    let upstream = answer_mut(seen, ordinal).replication.upstream.as_mut().unwrap();
    (upstream.link_up, upstream.down_seconds) = (false, Some(1));
}

fn freeze(seen: &mut Observed, ordinal: u32) {
    let upstream = answer_mut(seen, ordinal).replication.upstream.as_mut().unwrap();
    (upstream.host, upstream.port, upstream.link_up) = (NOWHERE.0.to_owned(), NOWHERE.1, false);
}

/// Its full sync has not come to an end: nothing of the record's history is there.
fn lacks_data(seen: &mut Observed, ordinal: u32) {
    let it = &mut answer_mut(seen, ordinal).replication;
    (it.placed, it.offset, it.keys) = (false, 0, 0);
    it.upstream.as_mut().unwrap().link_up = false;
}

/// It is no member, and has no user on the master that would be taken from it first.
fn estrange(seen: &mut Observed, ordinal: u32) {
    record(seen).members.remove(&pod_name(ordinal));
    let user = replication_user(&seen.instances[&pod_name(ordinal)].uid);
    answer_mut(seen, 0).users.remove(&user);
}

fn stage(seen: &mut Observed, ordinal: u32, stage: Stage, was_full: bool) {
    let member = record(seen).members.get_mut(&pod_name(ordinal)).unwrap();
    (member.stage, member.was_full) = (stage, was_full);
}

/// Made for a spec before, and one of the present spec would take its place.
fn stale(seen: &mut Observed, ordinal: u32) {
    let it = instance(seen, ordinal);
    (it.stale, it.outdated) = (true, true);
}

fn deletes(seen: &Observed) -> bool {
    let plan = decide(seen);
    plan.steps.iter().any(|step| matches!(step, Step::DeletePod { .. }))
}

#[test]
fn where_all_is_well_nothing_is_decided() {
    assert_eq!(decide(&healthy(3)), Plan::default());
}

#[test]
fn f03_one_label_that_is_missing_is_one_step() {
    for ordinal in 0..3 {
        let plan = decide(&but(healthy(3), |seen| instance(seen, ordinal).label = None));
        let label = if ordinal == 0 { Label::Master } else { Label::Replica };
        let is = |step: &Step| matches!(step, Step::Label { pod, label: it, .. } if *pod == pod_name(ordinal) && *it == label);
        assert!(plan.steps.len() == 1 && is(&plan.steps[0]), "{plan:?}");
    }
}

#[test]
fn f03_a_label_is_remembered_until_the_copy_of_that_pod_is_newer() {
    let mut memory = Memory::default();
    let seen = but(healthy(3), |seen| {
        for ordinal in 0..3 {
            instance(seen, ordinal).resource_version = "7".to_owned();
        }
        instance(seen, 0).label = None;
    });
    memory.settle(&seen, &decide(&seen));
    let remembered = memory.labelled.clone();
    assert_ne!(remembered, Memory::default().labelled);
    memory.note(&seen);
    assert_eq!(memory.labelled, remembered, "the copy is the same");
    let others = but(seen, |seen| instance(seen, 0).resource_version = "8".to_owned());
    memory.note(&others);
    assert_eq!(memory.labelled, Memory::default().labelled);
}

#[test]
fn f17_who_is_refused_by_a_fenced_replica_is_sent_away_and_a_reader_of_a_healthy_one_never() {
    let seen = healthy(3);
    let run = answer_mut(&mut seen.clone(), 1).replication.run_id.clone();
    let ago = |millis| Some(seen.now.before(ms(millis)));
    let is_cut = |before: Misdirected, change: &dyn Fn(&mut Observed)| {
        let seen = but(seen.clone(), |seen| {
            answer_mut(seen, 1).serves = false;
            answer_mut(seen, 1).replication.misdirected = 3;
            seen.memory.misdirected.insert(run.clone(), before);
            change(seen);
        });
        let plan = decide(&seen);
        plan.steps.iter().any(|step| matches!(step, Step::CutClients(_)))
    };
    let more = Misdirected::default();
    assert!(is_cut(more, &|_| {}));
    assert!(!is_cut(more, &|seen| answer_mut(seen, 1).serves = true));
    assert!(!is_cut(more, &|seen| instance(seen, 1).attached = false));
    let counted = |grown, cut| Misdirected {
        count: 3,
        grown: ago(grown),
        began: ago(9_000),
        cut: ago(cut),
    };
    assert!(is_cut(counted(200, 400), &|_| {}), "it came back after the cut");
    assert!(!is_cut(counted(400, 200), &|_| {}), "it has not come back");
}

#[test]
fn f17_a_fence_stays_while_somebody_has_just_been_refused() {
    let seen = but(healthy(3), |seen| {
        answer_mut(seen, 1).serves = false;
        answer_mut(seen, 1).replication.misdirected = 5;
        let run = answer_mut(seen, 1).replication.run_id.clone();
        let (grown, began) = (Some(seen.now.before(ms(9_000))), Some(seen.now.before(ms(9_500))));
        let before = Misdirected {
            count: 3,
            grown,
            began,
            cut: Some(seen.now.before(ms(50))),
        };
        seen.memory.misdirected.insert(run, before);
    });
    let plan = decide(&seen);
    let opens = plan.steps.iter().any(|step| matches!(step, Step::Serve(_)));
    assert!(!opens && plan.wake.is_some(), "{plan:?}");
}

#[test]
fn r18_nobody_is_admitted_before_the_stateful_set_is_written_by_this_holder() {
    let stranger = but(healthy(3), |seen| estrange(seen, 2));
    let admits = |holder: Option<&str>| {
        let seen = but(stranger.clone(), |seen| {
            seen.set_holder = holder.map(str::to_owned);
        });
        let plan = decide(&seen);
        next(&plan).is_some_and(|next| next.members.contains_key(&pod_name(2)))
    };
    assert!(admits(Some(&stranger.holder)));
    assert!(admits(None), "there is none");
    assert!(!admits(Some("another")));
}

#[test]
fn e15_a_pod_that_had_a_copy_has_nothing_of_its_own_unless_the_master_lost_everything() {
    let foreign = |keys_of_master: u64| {
        let seen = but(healthy(3), |seen| {
            estrange(seen, 2);
            answer_mut(seen, 0).replication.keys = keys_of_master;
            answer_mut(seen, 2).replication.id = "of another life".to_owned();
        });
        assert!(of(&seen).copies.contains(&pod_name(2)));
        reasons(&decide(&seen)).contains(&Reason::ForeignData)
    };
    assert!(!foreign(1));
    assert!(foreign(0));
}

#[test]
fn e14_a_word_that_has_nothing_to_decide_is_used_up_and_one_that_has_is_not() {
    let used = |change: &dyn Fn(&mut Observed)| {
        let seen = but(healthy(3), |seen| {
            seen.desired.elect = Some(pod_name(1));
            change(seen);
        });
        let plan = decide(&seen);
        assert!(plan.steps.len() < 2 && plan.steps.iter().all(|step| matches!(step, Step::Record(_))));
        next(&plan).is_some_and(|next| next.elected == Some(pod_name(1)))
    };
    assert!(used(&|_| {}));
    assert!(!used(&|seen| {
        estrange(seen, 2);
        record(seen).copies.remove(&pod_name(2));
        instance(seen, 2).label = None;
        answer_mut(seen, 0).guard_lag = 2; // as with one member
        answer_mut(seen, 2).replication.id = "of another life".to_owned();
    }));
}

#[test]
fn d12_only_one_that_joins_without_a_link_and_without_a_sync_is_linkless() {
    let linkless = |change: &dyn Fn(&mut Observed)| {
        let mut memory = Memory::default();
        memory.note(&but(healthy(3), |seen| {
            stage(seen, 1, Stage::Joining, false);
            change(seen);
        }));
        !memory.linkless.is_empty()
    };
    assert!(!linkless(&|_| {}), "it is linked");
    assert!(linkless(&|seen| cut(seen, 1)));
    let syncing = |seen: &mut Observed| {
        cut(seen, 1);
        answer_mut(seen, 1).replication.upstream.as_mut().unwrap().syncing = true;
    };
    assert!(!linkless(&syncing));
}

#[test]
fn d21_who_leaves_was_full_if_it_ever_was() {
    let was_full = |before: Stage, was: bool| {
        let seen = but(healthy(3), |seen| {
            stage(seen, 1, before, was);
            instance(seen, 1).deleting = true;
        });
        let plan = decide(&seen);
        let member = next(&plan).unwrap().members[&pod_name(1)].clone();
        assert_eq!(member.stage, Stage::Leaving, "{plan:?}");
        member.was_full
    };
    assert!(was_full(Stage::Full, false));
    assert!(was_full(Stage::Joining, true));
    assert!(!was_full(Stage::Joining, false));
}

#[test]
fn r18_nobody_who_is_full_leaves_while_another_one_joins() {
    let leaves = |joins: bool| {
        let seen = but(healthy(4), |seen| {
            seen.desired.replicas = 3;
            if joins {
                stage(seen, 1, Stage::Joining, false);
                answer_mut(seen, 1).replication.offset -= 10;
                record(seen).quorum = 1;
                answer_mut(seen, 0).guard = 1;
            }
        });
        let plan = decide(&seen);
        next(&plan).is_some_and(|next| next.at(Stage::Leaving).next().is_some())
    };
    assert!(leaves(false));
    assert!(!leaves(true));
}

/// The master is the third of three: a roll of two that runs it as one more needs nobody's attention.
#[test]
fn r03_a_master_beyond_the_replicas_is_named_unless_a_roll_needs_it() {
    let named = |replicas: u32, change: &dyn Fn(&mut Observed)| {
        let mut world = World::healthy(3);
        world.desired.switchover = Some(pod_name(2));
        world.settle();
        world.desired.switchover = None;
        world.settle();
        assert_eq!(world.master(), 2);
        let seen = but(world.observe(), |seen| {
            seen.desired.replicas = replicas;
            for ordinal in [0, 1] {
                instance(seen, ordinal).wanted_priority = Some(0);
                answer_mut(seen, ordinal).replication.priority = 0;
            }
            change(seen);
        });
        reasons(&decide(&seen)).contains(&Reason::MasterOnSurplusPod)
    };
    assert!(named(2, &|_| {}));
    assert!(!named(2, &|seen| stale(seen, 0)), "it is the one more");
    assert!(named(1, &|seen| stale(seen, 0)), "beyond the one more too");
    assert!(named(2, &|seen| cut(seen, 0)), "the roll is over");
}

#[test]
fn a_preferred_one_has_to_be_in_sync_and_to_stay() {
    let preferred = |change: &dyn Fn(&mut Observed)| {
        let mut memory = Memory::default();
        memory.note(&but(healthy(3), |seen| {
            instance(seen, 1).wanted_priority = Some(10);
            change(seen);
        }));
        memory.preferable.is_some()
    };
    assert!(preferred(&|_| {}));
    assert!(!preferred(&|seen| cut(seen, 1)));
    assert!(!preferred(&|seen| instance(seen, 1).deleting = true));
    assert!(!preferred(&|seen| instance(seen, 1).wanted_priority = Some(100)));
    assert!(!preferred(&|seen| instance(seen, 1).wanted_priority = Some(0)));
}

#[test]
fn a_mark_holds_for_five_seconds_and_as_long_as_nothing_changes() {
    let before = healthy(3);
    let mark = View::new(&before, of(&before)).mark(None);
    let later = |micros: u64, change: &dyn Fn(&mut Observed)| {
        let seen = but(before.clone(), |seen| {
            let asked = answer_mut(seen, 0).asked;
            seen.now = Moment(asked.0 + micros);
            answer_mut(seen, 0).asked = seen.now;
            change(seen);
        });
        View::new(&seen, of(&seen)).mark(mark.clone()) == mark
    };
    assert!(mark.is_some() && later(4_999_999, &|_| {}));
    assert!(!later(5_000_000, &|_| {}));
    assert!(!later(1_000, &|seen| answer_mut(seen, 0).guard += 1));
}

#[test]
fn only_who_is_linked_is_caught_up() {
    let caught_up = |change: &dyn Fn(&mut Observed)| {
        let seen = but(healthy(3), change);
        let view = View::new(&seen, of(&seen));
        let master = view.living(of(&seen).master.as_ref().unwrap()).unwrap();
        view.caught_up(master)
    };
    assert_eq!(caught_up(&|_| {}), 2);
    assert_eq!(caught_up(&|seen| cut(seen, 1)), 1);
    assert_eq!(caught_up(&|seen| answer_mut(seen, 1).replication.placed = false), 1);
    assert_eq!(caught_up(&|seen| answer_mut(seen, 1).replication.loading = true), 1);
}

/// An address may be given to a new pod as soon as the one before is gone.
#[test]
fn f16_a_slice_with_the_masters_address_that_names_another_pod_is_written_anew() {
    let publishes = |change: &dyn Fn(&mut Observed)| {
        let plan = decide(&but(healthy(3), change));
        plan.steps.iter().any(|step| matches!(step, Step::Publish(_)))
    };
    assert!(!publishes(&|_| {}));
    assert!(publishes(
        &|seen| seen.slice.as_mut().unwrap().target = Some("another".to_owned())
    ));
    assert!(publishes(
        &|seen| seen.slice.as_mut().unwrap().address = Some("10.9.9.9".to_owned())
    ));
    assert!(!publishes(
        &|seen| seen.slice.as_mut().unwrap().holder = "another".to_owned()
    ));
}

#[test]
fn e03_who_is_electable_is_connected_a_replica_and_has_the_data() {
    let electable = |change: &dyn Fn(&mut Observed)| {
        let seen = but(healthy(3), change);
        let names: Vec<_> = View::new(&seen, of(&seen)).electable();
        names.iter().any(|it| it.instance.ordinal == 1)
    };
    assert!(electable(&|_| {}));
    assert!(!electable(&|seen| instance(seen, 1).attached = false));
    assert!(!electable(&|seen| lacks_data(seen, 1)));
    let master = |seen: &mut Observed| {
        let it = &mut answer_mut(seen, 1).replication;
        (it.role, it.upstream) = (Role::Master, None);
    };
    assert!(!electable(&master));
}

#[test]
fn a_master_that_is_silent_for_a_moment_serves_if_it_served_then() {
    let serves = |change: &dyn Fn(&mut Observed)| {
        let seen = but(healthy(3), |seen| {
            let since = seen.now;
            let it = instance(seen, 0);
            it.reach = Reach::Silent { since, accepts: false };
            change(seen);
        });
        View::new(&seen, of(&seen)).serving().is_some()
    };
    let last = |seen: &mut Observed, change: &dyn Fn(&mut Answer)| {
        change(instance(seen, 0).last.as_mut().unwrap());
    };
    assert!(serves(&|_| {}));
    assert!(!serves(&|seen| last(seen, &|it| it.serves = false)));
    let replica = Role::Replica;
    assert!(!serves(&|seen| last(seen, &|it| it.replication.role = replica)));
    let asked = |ago: u64| {
        serves(&|seen| {
            seen.desired.down_after = ms(500);
            let at = Moment(seen.now.0 - ago);
            last(seen, &|it| it.asked = at);
        })
    };
    assert!(asked(499_999));
    assert!(!asked(500_000));
}

#[test]
fn e23_times_without_a_record_begin_when_there_is_neither_record_nor_master() {
    let begun = |change: &dyn Fn(&mut Observed)| {
        let mut memory = Memory::default();
        memory.note(&but(healthy(3), change));
        memory.recordless_since.is_some()
    };
    assert!(!begun(&|_| {}));
    assert!(
        !begun(&|seen| instance(seen, 0).reach = Reach::Untried),
        "there is a record"
    );
    assert!(!begun(&|seen| seen.record = Found::Absent), "a master serves");
    assert!(begun(&|seen| {
        seen.record = Found::Absent;
        instance(seen, 0).reach = Reach::Untried;
    }));
}

#[test]
fn d01_a_refused_master_has_ended_for_as_long_as_its_witnesses_said_so_once() {
    let ended = |run: Option<String>, refused: bool| {
        let seen = but(healthy(3), |seen| {
            let since = seen.now;
            instance(seen, 0).reach = Reach::Silent { since, accepts: false };
            if refused {
                instance(seen, 0).reach = Reach::Refused { since };
            }
        });
        let mut memory = Memory {
            witnessed: run,
            ..Memory::default()
        };
        memory.note(&seen);
        memory.ended_since.is_some()
    };
    let run = of(&healthy(3)).master.as_ref().unwrap().run_id.clone();
    assert!(ended(Some(run.clone()), true));
    assert!(!ended(Some("another".to_owned()), true), "its members hear it");
    assert!(!ended(None, true));
    assert!(!ended(Some(run), false), "it refuses no more");
}

#[test]
fn f02_what_members_heard_is_remembered_for_this_master_and_these_members() {
    let seen = but(healthy(4), |seen| {
        freeze(seen, 3);
    });
    let mut memory = Memory::default();
    memory.note(&seen);
    assert_eq!(memory.frozen.len(), 1);
    let mut thawed = memory.clone();
    thawed.note(&but(seen.clone(), |seen| {
        drop(record(seen).members.remove(&pod_name(3)))
    }));
    assert!(thawed.frozen.is_empty());
    let runs = |memory: &Memory| memory.heard.len();
    assert_eq!(runs(&memory), 2);
    // one that is away for a moment
    let away = but(seen.clone(), |seen| instance(seen, 1).reach = Reach::Untried);
    memory.note(&away);
    assert_eq!(runs(&memory), 2);
    let mut left = memory.clone();
    left.note(&but(away.clone(), |seen| {
        drop(record(seen).members.remove(&pod_name(1)))
    }));
    assert_eq!(runs(&left), 1);
    let mut other = memory;
    other.note(&but(away, |seen| {
        record(seen).master.as_mut().unwrap().run_id = "another".to_owned()
    }));
    assert_eq!(runs(&other), 1, "of another master one has heard nothing yet");
}

#[test]
fn by_hand_a_wish_has_its_own_minute() {
    let refuses = |asked: &str| {
        let seen = but(healthy(3), |seen| {
            seen.desired.switchover = Some(pod_name(1));
            cut(seen, 1);
            seen.memory.asked = Some((asked.to_owned(), seen.now.before(ms(90_000))));
        });
        let plan = decide(&seen);
        next(&plan).is_some_and(|next| next.request.as_ref().is_some_and(|it| it.outcome == Outcome::Refused))
    };
    assert!(refuses(&pod_name(1)));
    assert!(!refuses(&pod_name(2)));
}

#[test]
fn by_hand_it_is_said_what_a_switchover_waits_for() {
    let waits = |wish: &str, change: &dyn Fn(&mut Observed)| {
        let seen = but(healthy(3), |seen| {
            seen.desired.switchover = Some(wish.to_owned());
            change(seen);
        });
        let notes = decide(&seen).notes.into_iter();
        let waits = notes.filter(|note| note.reason == Reason::SwitchoverWaits);
        waits.map(|note| note.message).collect::<Vec<_>>().join("; ")
    };
    let unlinked = waits(&pod_name(1), &|seen| cut(seen, 1));
    assert!(unlinked.contains("redis-a-1 is not in sync"), "{unlinked}");
    let joining = waits(&pod_name(1), &|seen| stage(seen, 1, Stage::Joining, false));
    assert!(joining.contains("redis-a-1 is not in sync"), "{joining}");
    // another one is fit, and only waited for because a third joins
    let any = waits("any", &|seen| stage(seen, 2, Stage::Joining, false));
    assert!(!any.contains("nobody else can be master"), "{any}");
    let nobody = waits("any", &|seen| {
        cut(seen, 1);
        cut(seen, 2);
    });
    assert!(nobody.contains("nobody else can be master"), "{nobody}");
}

/// Somebody is frozen since an election that ended, which is all that is under way.
#[test]
fn by_hand_paused_altogether_no_switchover_is_begun() {
    let seen = but(healthy(3), |seen| {
        seen.desired.paused = Paused::All;
        instance(seen, 0).deleting = true;
        freeze(seen, 2);
    });
    let plan = decide(&seen);
    assert_eq!(plan.why, "let frozen members follow");
    assert_eq!(reasons(&plan), [Reason::Paused]);
}

mod rolls {
    use super::*;

    /// So many are wanted that one more runs, or not.
    fn wanted(replicas: u32, change: &dyn Fn(&mut Observed)) -> u32 {
        let seen = but(healthy(3), |seen| {
            seen.desired.replicas = replicas;
            change(seen);
        });
        View::new(&seen, of(&seen)).wanted()
    }

    #[test]
    fn r04_one_more_runs_from_the_first_stale_pod_until_all_others_are_in_sync() {
        assert_eq!(wanted(2, &|_| {}), 2);
        assert_eq!(wanted(2, &|seen| stale(seen, 1)), 3);
        assert_eq!(wanted(2, &|seen| cut(seen, 1)), 3, "it is over when all are in sync");
        assert_eq!(wanted(3, &|seen| stale(seen, 1)), 3);
        let refused = |seen: &mut Observed| {
            stale(seen, 1);
            seen.desired.incompatible = Some("it is older".to_owned());
        };
        assert_eq!(wanted(2, &refused), 2, "what cannot be rolled out ends it");
        let paused = |seen: &mut Observed| {
            stale(seen, 1);
            seen.desired.paused = Paused::Planned;
        };
        assert_eq!(wanted(2, &paused), 3, "paused in the middle");
        assert_eq!(wanted(2, &|seen| instance(seen, 1).deleting = true), 3);
        assert_eq!(wanted(2, &|seen| instance(seen, 1).attached = false), 3);
        assert_eq!(wanted(2, &|seen| stage(seen, 1, Stage::Joining, false)), 3);
    }

    #[test]
    fn r04_the_only_pod_is_replaced_where_it_is() {
        let alone = |change: &dyn Fn(&mut Observed)| {
            let mut world = World::healthy_on(1, Disk::Aof);
            deletes(&but(world.observe(), |seen| {
                stale(seen, 0);
                change(seen);
            }))
        };
        assert!(alone(&|_| {}));
        assert!(!alone(&|seen| instance(seen, 0).deleting = true));
        assert!(
            !alone(&|seen| instance(seen, 0).outdated = false),
            "it would come back the same"
        );
        assert!(
            !alone(&|seen| instance(seen, 0).stale = false),
            "its spec is the present one"
        );
        let another = |seen: &mut Observed| {
            let mut another = instance(seen, 0).clone();
            (another.pod, another.uid, another.ordinal) = (pod_name(1), "another".to_owned(), 1);
            another.reach = Reach::Untried;
            seen.instances.insert(another.pod.clone(), another);
        };
        assert!(!alone(&another), "somebody else is on the way out");
    }

    #[test]
    fn r04_a_pod_that_goes_anyway_is_not_rolled() {
        let rolled = |replicas: u32| {
            deletes(&but(healthy(4), |seen| {
                seen.desired.replicas = replicas;
                estrange(seen, 3);
                instance(seen, 3).label = None;
                stale(seen, 3);
                stale(seen, 1);
                record(seen).quorum = 1;
                answer_mut(seen, 0).guard = 1;
            }))
        };
        assert!(rolled(4));
        assert!(!rolled(3));
    }

    /// Whether the third of three is the one that goes first, where the second waits to be replaced as well.
    fn third_goes(change: &dyn Fn(&mut Observed)) -> bool {
        let seen = but(healthy(3), |seen| {
            stale(seen, 1);
            stale(seen, 2);
            change(seen);
            let target = record(seen).at(Stage::Full).count().div_ceil(2);
            let target = u32::try_from(target).unwrap();
            record(seen).quorum = target;
            answer_mut(seen, 0).guard = target;
        });
        let plan = decide(&seen);
        next(&plan).is_some_and(|next| next.members[&pod_name(2)].stage == Stage::Leaving)
    }

    #[test]
    fn r04_one_goes_while_another_is_away_only_if_it_holds_nothing() {
        let away = |seen: &mut Observed| {
            stage(seen, 1, Stage::Joining, true);
            cut(seen, 1);
        };
        let both = |change: &dyn Fn(&mut Observed)| {
            third_goes(&|seen| {
                away(seen);
                change(seen);
            })
        };
        assert!(third_goes(&|_| {}), "everybody is there");
        assert!(!both(&|_| {}));
        assert!(both(&|seen| {
            stage(seen, 2, Stage::Joining, false);
            lacks_data(seen, 2);
        }));
        assert!(!both(&|seen| {
            stage(seen, 2, Stage::Joining, true);
            lacks_data(seen, 2);
        }));
        assert!(!both(&|seen| stage(seen, 2, Stage::Joining, false)), "it has the data");
    }

    #[test]
    fn r04_no_replica_goes_while_its_master_is_on_its_way_out() {
        let nobody_else = |seen: &mut Observed| {
            for ordinal in [1, 2] {
                instance(seen, ordinal).wanted_priority = Some(0);
                answer_mut(seen, ordinal).replication.priority = 0;
            }
        };
        assert!(third_goes(&nobody_else));
        assert!(!third_goes(&|seen| {
            nobody_else(seen);
            instance(seen, 0).deleting = true;
        }));
    }

    #[test]
    fn r04_who_follows_the_present_spec_is_counted_when_it_is_in_sync() {
        let said = |change: &dyn Fn(&mut Observed)| {
            let seen = but(healthy(3), |seen| {
                stale(seen, 2);
                change(seen);
            });
            let notes = decide(&seen).notes;
            let rolls = notes
                .iter()
                .find(|note| [Reason::Rolling, Reason::RollStuck].contains(&note.reason));
            rolls.unwrap().message.chars().next().unwrap()
        };
        assert_eq!(said(&|_| {}), '2');
        assert_eq!(said(&|seen| stale(seen, 0)), '1');
        assert_eq!(said(&|seen| stale(seen, 1)), '1');
        assert_eq!(said(&|seen| instance(seen, 1).attached = false), '1');
    }
}

#[test]
fn the_guard_waits_until_the_master_counts_its_replicas() {
    let set = |change: &dyn Fn(&mut Observed)| {
        let plan = decide(&but(healthy(3), |seen| {
            record(seen).quorum = 0;
            let master = answer_mut(seen, 0);
            (master.guard, master.replication.online) = (0, 0);
            change(seen);
        }));
        let set = plan
            .steps
            .iter()
            .any(|step| matches!(step, Step::Guard { replicas: 1, .. }));
        assert!(set || plan.wake.is_some(), "{plan:#?}");
        set
    };
    assert!(!set(&|_| {}));
    assert!(set(&|seen| answer_mut(seen, 0).replication.online = 1));
    assert!(set(&|seen| record(seen).quorum = 1), "what is promised comes first");
    assert!(set(&|seen| {
        let master = answer_mut(seen, 0);
        (master.guard, master.guard_lag) = (1, 2);
    }));
}
