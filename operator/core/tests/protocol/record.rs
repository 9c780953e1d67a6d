//! What is read as a record: only what fits together.

use crate::world::{World, pod_name};
use redis_operator_core::record::{Found, Phase, Record, Stage, VERSION};
use serde_json::{Value, json};

fn read(change: impl Fn(&mut Value)) -> Found {
    let mut value = World::healthy(3).record.unwrap();
    change(&mut value);
    Found::read(Some(&value))
}

fn nonsense(change: impl Fn(&mut Value)) -> String {
    match read(change) {
        Found::Nonsense(what) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn b07_a_record_that_contradicts_itself_is_nonsense() {
    assert!(matches!(read(|_| {}), Found::Record(_)));
    assert_eq!(nonsense(|it| it["version"] = json!(0)), "version and seq begin at 1");
    assert_eq!(nonsense(|it| it["seq"] = json!(0)), "version and seq begin at 1");
    assert!(
        matches!(read(|it| it["quorum"] = json!(2)), Found::Record(_)),
        "all of them"
    );
    assert_eq!(nonsense(|it| it["quorum"] = json!(3)), "quorum 3 of 2 members");
    let moved = nonsense(|it| {
        let member = it["members"].as_object_mut().unwrap().remove(&pod_name(1)).unwrap();
        it["members"]["redis-a-7"] = member;
    });
    assert_eq!(moved, "member redis-a-7 is listed under another pod's name");
    assert_eq!(
        nonsense(|it| it["phase"] = json!("Promoting")),
        "phase Promoting without a claim"
    );
    assert_eq!(
        nonsense(|it| it["phase"] = json!("Switching")),
        "phase Switching without a target"
    );
    let no_master = |it: &mut Value| drop(it.as_object_mut().unwrap().remove("master"));
    assert_eq!(nonsense(no_master), "no master outside phase Promoting");
    let first = |it: &mut Value, members: bool| {
        no_master(it);
        it["phase"] = json!("Promoting");
        let mut claim = World::healthy(3).record.unwrap()["master"].take();
        (claim["id"], claim["offset"]) = (json!("a"), json!(0));
        it["claim"] = claim;
        if !members {
            (it["members"], it["quorum"]) = (json!({}), json!(0));
        }
    };
    assert_eq!(nonsense(|it| first(it, true)), "members without a master");
    assert!(matches!(read(|it| first(it, false)), Found::Record(_)));
    assert!(nonsense(|it| it["term"] = json!("three")).contains("three"));
}

#[test]
fn o11_a_newer_record_is_no_nonsense_and_none_is_none() {
    assert_eq!(
        read(|it| it["version"] = json!(VERSION + 1)),
        Found::Newer(u64::from(VERSION) + 1)
    );
    assert_eq!(read(|it| *it = Value::Null), Found::Absent);
    assert_eq!(Found::read(None), Found::Absent);
}

#[test]
fn a_record_names_its_processes_and_members() {
    let Found::Record(record) = read(|_| {}) else { panic!() };
    assert_eq!(record.size(), 2);
    let of = |record: &Record| record.processes().map(|it| it.pod.clone()).collect::<Vec<_>>();
    assert_eq!(of(&record), [pod_name(0), pod_name(1), pod_name(2)]);
    let member = record.members[&pod_name(1)].clone();
    let (uid, run) = (member.process.uid.as_str(), member.process.run_id.as_str());
    assert_eq!(record.member(uid, run), Some(&member));
    assert_eq!(
        (record.member(uid, "another"), record.member("another", run)),
        (None, None)
    );
    assert_eq!(
        (record.at(Stage::Full).count(), record.at(Stage::Joining).count()),
        (2, 0)
    );
    assert_eq!((Record::first("me").phase, Record::first("me").seq), (Phase::Steady, 0));
    let master = record.master.as_ref().unwrap();
    assert!(master.is(master) && !master.is(&member.process));
    let mut other = master.clone();
    other.run_id.push('x');
    assert!(!master.is(&other), "another process of the same pod");
}
