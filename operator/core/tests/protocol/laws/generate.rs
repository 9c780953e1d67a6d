//! Observations in arbitrary states.

use super::instances::{NOW, PODS, address, ago, id, instance, mostly_first, offset, pod, uid};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use redis_operator_core::memory::Memory;
use redis_operator_core::observed::{Departed, Desired, Moment, Observed, Paused, Policy, Slice};
use redis_operator_core::record::{Claim, Found, Member, Phase, Process, Record, Stage};
use serde_json::Map;
use std::collections::BTreeMap;
use std::time::Duration;

prop_compose! {
    fn process(ordinal: u32)(n in mostly_first(), run in mostly_first(), container in any::<bool>(), ended in weighted(0.1, Just(())))
        -> Process {
        Process {
            pod: pod(ordinal),
            uid: uid(ordinal, n),
            run_id: format!("run{ordinal}{run}"),
            address: address(ordinal),
            node: format!("n{}", ordinal % 3),
            container: container.then(|| format!("c{ordinal}{run}")),
            ended: ended.is_some(),
        }
    }
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let stage = prop_oneof![3 => Just(Stage::Full), 3 => Just(Stage::Joining), 1 => Just(Stage::Leaving)];
    let was_full = weighted(0.2, Just(()));
    let member = |n| (process(n), stage.clone(), was_full.clone());
    let all: Vec<_> = (0..PODS).map(|n| weighted(0.6, member(n))).collect();
    all.prop_map(|all| {
        let member = |(process, stage, was_full): (Process, Stage, Option<()>)| Member {
            process,
            stage,
            was_full: stage != Stage::Full && was_full.is_some(),
        };
        all.into_iter().flatten().map(member).collect()
    })
}

prop_compose! {
    fn record()(
        phase in prop_oneof![3 => Just(Phase::Steady), 1 => Just(Phase::Switching), 2 => Just(Phase::Electing), 2 => Just(Phase::Promoting)],
        master in weighted(0.9, (0..PODS).prop_flat_map(process)),
        target in (0..PODS).prop_flat_map(process),
        claim in (0..PODS).prop_flat_map(process),
        claimed in (id(), offset()),
        id in id(),
        previous_id in proptest::option::of(id()),
        promoted_at in select(vec![0u64, 10, 20]),
        members in members(),
        quorum in 0u32..3,
        holder in prop_oneof![8 => Just("me"), 1 => Just("other")],
        numbers in (1u64..9, 1u64..9),
        copies in subsequence((0..PODS).map(pod).collect::<Vec<_>>(), 0..=4),
        elected in weighted(0.1, (0..PODS).prop_map(pod)),
    ) -> Record {
        let phase = if master.is_none() { Phase::Promoting } else { phase };
        let is_master = |member: &Member| master.as_ref().is_some_and(|master| master.pod == member.process.pod);
        let members: BTreeMap<_, _> =
            members.into_iter().filter(|m| master.is_some() && !is_master(m)).map(|m| (m.process.pod.clone(), m)).collect();
        let (id_then, offset) = claimed;
        Record {
            seq: numbers.0,
            term: numbers.1,
            holder: holder.to_owned(),
            phase,
            target: (phase == Phase::Switching).then_some(target),
            claim: (phase == Phase::Promoting).then_some(Claim { process: claim, id: id_then, offset }),
            master,
            id,
            promoted_at,
            previous_id,
            quorum: quorum.min(u32::try_from(members.len()).unwrap()),
            members,
            copies: copies.into_iter().collect(),
            elected,
            other: Map::new(),
            ..Record::first("me")
        }
    }
}

prop_compose! {
    fn desired()(
        replicas in 1..=PODS,
        policy in select(vec![Policy::Availability, Policy::Durability]),
        durable in any::<bool>(),
        down_after in select(vec![2_000u64, 2_000, 500, 1_000, 5_000]).prop_map(Duration::from_millis),
        elect in weighted(0.1, (0..PODS).prop_map(pod)),
        ended in weighted(0.05, (0..PODS).prop_map(|n| format!("run{n}0"))),
        incompatible in weighted(0.05, Just("it is older".to_owned())),
        switchover in weighted(0.1, prop_oneof![(0..=PODS).prop_map(pod), Just("any".to_owned())]),
        restart in weighted(0.05, Just("2026-01-31T12:00:00Z".to_owned())),
        paused in select(vec![Paused::No, Paused::No, Paused::No, Paused::No, Paused::Planned, Paused::All]),
    ) -> Desired {
        let ended = ended.into_iter().collect();
        let nonsense = vec![];
        Desired {
            elect, ended, incompatible, nonsense, paused, restart, switchover,
            ..Desired::new(replicas, policy, down_after, durable)
        }
    }
}

prop_compose! {
    fn slice()(
        target in proptest::option::of((0..PODS, mostly_first())),
        elsewhere in weighted(0.1, Just("10.0.1.9".to_owned())),
        holder in prop_oneof![6 => Just("me"), 1 => Just("other")],
        term in 0..4_u64,
        in_doubt in proptest::bool::weighted(0.05),
    ) -> Slice {
        Slice {
            address: target.map(|(n, _)| elsewhere.unwrap_or(address(n))),
            target: target.map(|(n, k)| uid(n, k)),
            holder: holder.to_owned(),
            term,
            in_doubt,
        }
    }
}

fn departed() -> impl Strategy<Value = BTreeMap<String, Departed>> {
    let one = (
        any::<bool>(),
        proptest::option::of(Just(Duration::from_secs(60))),
        weighted(0.1, Just(())),
    );
    let all: Vec<_> = (0..PODS)
        .map(|n| (Just(n), 0u32..2, proptest::option::of(one.clone())))
        .collect();
    all.prop_map(|all| {
        let some = all.into_iter().filter_map(|(n, k, how)| Some((n, k, how?)));
        some.map(|(n, k, (terminated, outlived, lost))| {
            let terminated = terminated.then(|| format!("c{n}0")).into_iter().collect();
            (
                uid(n, k),
                Departed {
                    noticed: Moment(NOW - 5_000_000),
                    terminated,
                    outlived,
                    node_lost: lost.is_some(),
                },
            )
        })
        .collect()
    })
}

prop_compose! {
    /// Any observation, with a memory of times that began when they could have.
    pub fn observed()(
        desired in desired(),
        record in prop_oneof![
            1 => Just(Found::Absent),
            9 => record().prop_map(|record| Found::Record(Box::new(record))),
        ],
        instances in (0..PODS).map(|n| weighted(0.85, instance(n))).collect::<Vec<_>>(),
        departed in departed(),
        set_holder in prop_oneof![8 => Just(Some("me".to_owned())), 1 => Just(Some("other".to_owned())), 1 => Just(None)],
        slice in weighted(0.9, slice()),
        since in ago(),
    ) -> Observed {
        let instances: BTreeMap<_, _> = instances.into_iter().flatten().map(|i| (i.pod.clone(), i)).collect();
        let mut seen = Observed {
            desired,
            holder: "me".to_owned(),
            record,
            instances,
            departed,
            set_holder,
            slice,
            memory: Memory::default(),
            now: since,
            clock: jiff::Timestamp::UNIX_EPOCH,
        };
        let mut memory = Memory::default();
        memory.note(&seen);
        seen.now = Moment(NOW);
        memory.note(&seen);
        seen.memory = memory;
        seen
    }
}
