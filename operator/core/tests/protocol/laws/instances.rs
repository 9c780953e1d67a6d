//! Pods and the processes in them, in arbitrary states: small universes, so that things coincide often.

use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use redis_operator_core::names::replication_user;
use redis_operator_core::observed::{Answer, Container, Instance, Moment, Reach};
use redis_operator_core::replication::{NOWHERE, Replication, Role, Upstream};
use std::collections::BTreeSet;

/// Pods there may be.
pub const PODS: u32 = 4;
/// The time of every observation, in microseconds.
pub const NOW: u64 = 1_000_000_000;

pub fn pod(ordinal: u32) -> String {
    format!("redis-a-{ordinal}")
}

pub fn uid(ordinal: u32, n: u32) -> String {
    format!("u{ordinal}{n}")
}

pub fn address(ordinal: u32) -> String {
    format!("10.0.0.{ordinal}")
}

/// The first of two, mostly.
pub fn mostly_first() -> impl Strategy<Value = u32> + Clone {
    prop_oneof![5 => Just(0u32), 1 => Just(1u32)]
}

pub fn id() -> impl Strategy<Value = String> + Clone {
    prop_oneof![4 => Just("a"), 2 => Just("b"), 1 => Just("c")].prop_map(str::to_owned)
}

pub fn offset() -> impl Strategy<Value = u64> + Clone {
    select(vec![0u64, 10, 20, 20, 30])
}

pub fn ago() -> impl Strategy<Value = Moment> {
    select(vec![0u64, 100, 800, 1_500, 6_000, 20_000, 100_000]).prop_map(|millis| Moment(NOW - millis * 1000))
}

prop_compose! {
    fn upstream()(
        whom in prop_oneof![3 => Just(None), 5 => (0..PODS).prop_map(Some)],
        link_up in any::<bool>(),
        syncing in weighted(0.1, Just(())),
        down in proptest::option::of(select(vec![0u64, 3, 9])),
        heard in select(vec![0u64, 0, 2, 3, 9]),
        unread in select(vec![0u64, 0, 0, 10]),
    ) -> (Upstream, u64) {
        let (host, port) = whom.map_or((NOWHERE.0.to_owned(), NOWHERE.1), |n| (address(n), 6379));
        let link_up = link_up && whom.is_some() && syncing.is_none();
        let upstream = Upstream {
            host,
            port,
            link_up,
            down_seconds: down.filter(|_| !link_up),
            heard_seconds: link_up.then_some(heard),
            syncing: syncing.is_some(),
            sync_heard_seconds: syncing.map(|()| heard),
            read_offset: 0,
        };
        (upstream, unread)
    }
}

prop_compose! {
    fn replication(ordinal: u32)(
        run in mostly_first(),
        loading in weighted(0.06, Just(())),
        appendonly in weighted(0.2, any::<bool>()),
        follows in weighted(0.75, upstream()),
        id in id(),
        fork in proptest::option::of((id(), offset())),
        offset in offset(),
        placed in weighted(0.8, Just(())),
        priority in prop_oneof![6 => Just(100u32), 1 => Just(0), 1 => Just(10)],
        keys in select(vec![0u64, 3, 3, 5]),
        online in 0u32..3,
    ) -> Replication {
        let (upstream, unread) = match follows {
            Some((upstream, unread)) => (Some(upstream), unread),
            None => (None, 0),
        };
        let linked = upstream.as_ref().is_none_or(|upstream| upstream.link_up);
        let placed = placed.is_some() || linked;
        let offset = if placed { offset } else { 0 };
        Replication {
            run_id: format!("run{ordinal}{run}"),
            version: "7.0.15".to_owned(),
            started_micros: 5_000_000 * i64::from(run),
            loading: loading.is_some(),
            appendonly: appendonly.is_some(),
            rewriting: appendonly.is_some_and(|rewriting| rewriting),
            role: if upstream.is_none() { Role::Master } else { Role::Replica },
            upstream: upstream.map(|upstream| Upstream { read_offset: offset + unread, ..upstream }),
            id,
            forked_at: fork.as_ref().map(|(_, at)| *at),
            id2: fork.map(|(id, _)| id),
            offset,
            placed,
            priority,
            online,
            keys,
            misdirected: 0,
        }
    }
}

fn users() -> impl Strategy<Value = BTreeSet<String>> {
    let all: Vec<_> = (0..PODS)
        .map(|n| replication_user(&uid(n, 0)))
        .chain(["r-x".to_owned()])
        .collect();
    subsequence(all.clone(), 0..=all.len()).prop_map(|users| users.into_iter().collect())
}

prop_compose! {
    fn answer(ordinal: u32)(
        replication in replication(ordinal),
        guard in 0u32..3,
        guard_lag in 1u32..3,
        serves in any::<bool>(),
        users in users(),
        known in weighted(0.8, Just(())),
        still in 0u64..5_000_000,
    ) -> Answer {
        let attaches_as = known.map(|()| replication_user(&uid(ordinal, 0))).unwrap_or_default();
        let still_since = Moment(NOW - still);
        Answer { asked: Moment(NOW), still_since, replication, guard, guard_lag, serves, users, attaches_as }
    }
}

fn reach(ordinal: u32) -> impl Strategy<Value = Reach> {
    prop_oneof![
        10 => answer(ordinal).prop_map(|answer| Reach::Answers(Box::new(answer))),
        1 => Just(Reach::Untried),
        1 => Just(Reach::Alive("BUSY".to_owned())),
        2 => ago().prop_map(|since| Reach::Refused { since }),
        2 => (ago(), any::<bool>()).prop_map(|(since, accepts)| Reach::Silent { since, accepts }),
    ]
}

prop_compose! {
    fn container(ordinal: u32)(
        run in proptest::option::of(0u32..2),
        terminated in subsequence(vec![0u32, 1], 0..=1),
        backing_off in weighted(0.1, Just(())),
        restarts in select(vec![0u32, 5]),
    ) -> Container {
        Container {
            id: run.map(|run| format!("c{ordinal}{run}")),
            started_micros: run.map(|run| 5_000_000 * i64::from(run)),
            terminated: terminated.iter().map(|run| format!("c{ordinal}{run}")).collect(),
            waiting: backing_off.map(|()| "CrashLoopBackOff".to_owned()),
            restarts,
        }
    }
}

prop_compose! {
    pub fn instance(ordinal: u32)(
        n in mostly_first(),
        label in select(vec![None, Some("replica"), Some("replica"), Some("master"), Some("odd")]),
        deleting in weighted(0.1, Just(())),
        revision in select(vec![(false, false), (false, false), (false, false), (true, false), (true, true), (false, true)]),
        wanted_priority in select(vec![Some(100), Some(100), Some(100), Some(50), Some(0), None]),
        evacuating in weighted(0.1, Just("its node is cordoned".to_owned())),
        trouble in weighted(0.1, Just("cannot be scheduled".to_owned())),
        container in container(ordinal),
        reach in reach(ordinal),
        attached in weighted(0.9, Just(())),
    ) -> Instance {
        Instance {
            pod: pod(ordinal),
            uid: uid(ordinal, n),
            resource_version: "1".to_owned(),
            ordinal,
            node: format!("n{}", ordinal % 3),
            address: address(ordinal),
            label: label.map(str::to_owned),
            deleting: deleting.is_some(),
            container,
            outdated: revision.0,
            stale: revision.1,
            evacuating,
            wanted_priority,
            trouble,
            last: None,
            reach,
            attached: attached.is_some(),
        }
    }
}
