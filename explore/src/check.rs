//! What must hold in every world, whatever happened before.

use crate::canon::number;
use crate::world::{PODS, World};
use redis_operator_core::names;
use redis_operator_core::record::{Phase, Process, Stage};

/// What is wrong with a world, if anything.
pub fn wrong(world: &World, promises_plain: bool) -> Option<String> {
    if let Some(what) = world.broken {
        return Some(what.to_owned());
    }
    let pods = world.slots[..PODS].iter(); // a process without a pod object has no label either
    let labelled = pods.filter(|slot| slot.label == Some(names::ROLE_MASTER));
    // what a former leader still writes on a pod that nobody has touched since is put right by the next pass
    if labelled.count() > 1 && world.sessions == 0 {
        return Some("LABELS: two pods with role=master".to_owned());
    }
    let record = world.recorded()?;
    let steady = record.phase == Phase::Steady;
    let master = record.master.as_ref().filter(|_| steady);
    let claimed = record.claim.as_ref().map(|claim| &claim.process);
    let master = master.or(claimed.filter(|_| record.phase == Phase::Promoting))?;
    let it = world
        .run(number(&master.run_id))
        .and_then(|i| world.proc(i))
        .filter(|it| it.master)?;
    if steady && record.quorum > u32::from(it.guard) {
        return Some(format!("GUARD: E {} > G {} on {}", record.quorum, it.guard, master.pod));
    }
    for write in 1..=world.writes {
        let here = it.has(write);
        if world.faults <= 1 && world.waited >> write & 1 == 1 && !here {
            return Some(format!(
                "LOST: write {write}, acknowledged by WAIT, is not on {}, the master",
                master.pod
            ));
        }
        if promises_plain && world.faults == 0 && world.plain >> write & 1 == 1 && !here {
            return Some(format!(
                "LOST: plain write {write} without any fault, is not on {}, the master",
                master.pod
            ));
        }
    }
    None
}

/// Nothing is left to do: one master, recorded, published, and everybody who is wanted follows it with all its data.
pub fn is_quiet(world: &World) -> bool {
    let Some(record) = world.recorded().filter(|record| record.phase == Phase::Steady) else {
        return false;
    };
    let Some(master) = &record.master else { return false };
    let busy = world.ops.iter().flatten().any(|op| op.plan.is_some());
    let Some(m) = world.run(number(&master.run_id)).filter(|_| !busy && !world.is_cut()) else {
        return false;
    };
    let serves = world
        .proc(m)
        .is_some_and(|it| it.master && !it.hung && u32::from(it.guard) == record.quorum);
    let published = world.slice.target == world.slots[m].uid;
    let full = record.at(Stage::Full).count();
    // a master beyond the wanted number stays until another one is master
    let stays = |i: &usize| world.slots[*i].ordinal < world.wanted || *i == m;
    let wanted = (0..PODS).filter(stays).count();
    let all = full == record.members.len() && full + 1 == wanted;
    let follows = |process: &Process| {
        let j = world.run(number(&process.run_id));
        let it = j.and_then(|j| world.proc(j));
        it.is_some_and(|it| it.is_linked() && !it.hung && it.source() == Some(number(&master.run_id)))
    };
    let members = record.members.values().all(|member| follows(&member.process));
    let made = (0..PODS).all(|i| world.slots[i].uid == 0 || world.slots[i].spec == world.spec);
    let pods = (0..PODS).filter(|i| world.slots[*i].uid != 0).count();
    serves && published && made && all && members && pods == wanted && full.div_ceil(2) == record.quorum as usize
}
