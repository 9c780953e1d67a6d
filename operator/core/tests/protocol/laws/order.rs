//! Laws 11 and 8: the record, the order of what is done, and that something is done at all.

use super::rules::{Verdict, answer, law, old, records};
use redis_operator_core::decide::View;
use redis_operator_core::names::replication_user;
use redis_operator_core::observed::{Instance, Observed};
use redis_operator_core::plan::{Plan, Step};
use redis_operator_core::record::{Found, Phase, Process, Record, Stage};

/// Law 11, the record itself.
pub fn record_moves_forward(seen: &Observed, plan: &Plan) -> Verdict {
    let (mut seq, mut term) = old(seen).map_or((0, 0), |record| (record.seq, record.term));
    for next in records(plan) {
        law(next.seq == seq + 1 && next.term >= term, || {
            format!("law 11: {seq} → {}", next.seq)
        })?;
        (seq, term) = (next.seq, next.term);
        law(next.holder == seen.holder, || {
            "law 11: written for another holder".to_owned()
        })?;
        let back = Found::read(Some(&serde_json::to_value(next).unwrap()));
        law(back == Found::Record(Box::new(next.clone())), || {
            format!("law 11: it reads as {back:?}")
        })?;
        let Some(record) = old(seen) else { continue };
        let same = next.master.as_ref().map(|m| &m.run_id) == record.master.as_ref().map(|m| &m.run_id);
        if same && next.quorum > record.quorum {
            let guard = record
                .master
                .as_ref()
                .and_then(|m| answer(seen, m))
                .map_or(0, |(_, a)| a.guard);
            law(next.quorum <= guard, || {
                format!("law 11: E {} over G {guard}", next.quorum)
            })?;
        }
    }
    Ok(())
}

/// Law 11, the order: what a step does to a server is on record before it.
pub fn announced_first(seen: &Observed, plan: &Plan) -> Verdict {
    let mut record = old(seen);
    for step in &plan.steps {
        if let Step::Record(next) = step {
            record = Some(next);
            continue;
        }
        let Some(now) = record else {
            let harmless = matches!(step, Step::Freeze(_) | Step::TouchPod { .. } | Step::DeletePod { .. });
            law(harmless, || format!("law 11: {step:?} without a record"))?;
            continue;
        };
        let on_record = |uid: &str| now.members.values().any(|member| member.process.uid == uid);
        let staying = |user: &str| {
            let mut all = now.members.values().filter(|member| member.stage != Stage::Leaving);
            all.any(|member| replication_user(&member.process.uid) == user)
        };
        let is_master = |who: &Process| now.master.as_ref().is_some_and(|master| master.is(who));
        let serves = |who: &Process| answer(seen, who).is_some_and(|(instance, _)| instance.is_master());
        let fine = match step {
            Step::Follow { who, .. } => now.member(&who.uid, &who.run_id).is_some() && !is_master(who),
            Step::Freeze(who) | Step::Demote(who) => now.phase != Phase::Steady || !is_master(who) || !serves(who),
            Step::AddUser { on, uid } => is_master(on) && on_record(uid),
            Step::DropUser { on, user } => is_master(on) && !staying(user),
            Step::Guard { on, replicas, .. } => is_master(on) && *replicas >= now.quorum,
            Step::Promote { claim, .. } => now.phase == Phase::Promoting && now.claim.as_ref() == Some(claim),
            Step::Publish(who) => is_master(who) || now.claim.as_ref().is_some_and(|claim| claim.process.is(who)),
            Step::DeletePod { uid, .. } => {
                let named = now.processes().any(|process| process.uid == *uid);
                !named || is_alone(seen, now) || is_all_on_volumes(seen, now, uid)
            }
            Step::CutClients(who) => !is_master(who),
            Step::Pause(who) => is_master(who) && now.phase == Phase::Switching,
            Step::Resume(who) => is_master(who),
            Step::Record(_) | Step::TouchSlice | Step::Label { .. } | Step::TouchPod { .. } | Step::Serve(_) => true,
            Step::Priority { on, priority } => seen.instances[&on.pod].wanted_priority == Some(*priority),
        };
        law(fine, || format!("law 11: {step:?} under {now:?}"))?;
    }
    Ok(())
}

/// Law 11, pods: a deletion that was decided before holds for no pod that the record names from now on.
pub fn newcomers_are_touched_first(seen: &Observed, plan: &Plan) -> Verdict {
    let mut touched = vec![];
    for step in &plan.steps {
        match step {
            Step::TouchPod {
                uid, resource_version, ..
            } => touched.push((uid, resource_version)),
            Step::Record(next) => {
                let known = |uid: &str| old(seen).is_some_and(|record| record.names(uid));
                let newcomers = seen
                    .instances
                    .values()
                    .filter(|it| next.names(&it.uid) && !known(&it.uid));
                for it in newcomers {
                    law(touched.contains(&(&it.uid, &it.resource_version)), || {
                        format!("law 11: {} comes into the record untouched", it.pod)
                    })?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Law 11, the guard: beyond what the record asks for it is raised only when the master would still take writes.
pub fn a_raised_guard_is_met(seen: &Observed, plan: &Plan) -> Verdict {
    for step in &plan.steps {
        let Step::Guard { on, replicas, .. } = step else {
            continue;
        };
        let (Some(record), Some((_, it))) = (old(seen), answer(seen, on)) else {
            return Err(format!("law 11: {step:?} without a record or a master"));
        };
        let raised = it.guard < *replicas && record.quorum <= it.guard;
        law(!raised || *replicas <= it.replication.online, || {
            format!(
                "law 11: {step:?} refuses every write, {} are online",
                it.replication.online
            )
        })?;
    }
    Ok(())
}

/// The only pod of a set whose data outlives pods: nobody could take over before it is replaced.
fn is_alone(seen: &Observed, record: &Record) -> bool {
    seen.desired.replicas == 1 && seen.desired.durable && record.members.is_empty() && seen.instances.len() == 1
}

/// Everybody on record has ended, the data is on volumes, and this pod cannot run as it was made.
fn is_all_on_volumes(seen: &Observed, record: &Record, uid: &str) -> bool {
    let cannot_run = |i: &Instance| i.uid == uid && i.outdated && i.trouble.is_some() && !View::is_up(i);
    seen.desired.volumes && View::new(seen, record).nobody_lives() && seen.instances.values().any(cannot_run)
}

/// With everybody there and answering, something is done, waited for or said; or all is well.
pub fn never_silently_stuck(seen: &Observed, plan: &Plan) -> Verdict {
    let wanted = (0..seen.desired.replicas).all(|n| seen.instances.values().any(|i| i.ordinal == n));
    let there = seen
        .instances
        .values()
        .all(|i| i.attached && !i.deleting && i.answer().is_some_and(|a| !a.replication.loading));
    let moves = !plan.steps.is_empty() || plan.wake.is_some() || !plan.notes.is_empty();
    if moves || !wanted || !there {
        return Ok(());
    }
    let record = old(seen).ok_or("stuck without a record")?;
    let wanted = |i: &&Instance| i.ordinal < seen.desired.replicas;
    let full = |i: &Instance| {
        let run = &i.answer().unwrap().replication.run_id;
        record
            .member(&i.uid, run)
            .is_some_and(|member| member.stage == Stage::Full)
    };
    let others = seen.instances.values().filter(wanted).filter(|i| !i.is_master());
    let healthy = record.phase == Phase::Steady && others.into_iter().all(full);
    law(healthy, || format!("stuck in silence: {}", plan.why))
}
