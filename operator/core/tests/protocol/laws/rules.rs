//! The laws, as functions of one observation and the plan that was made of it. Each states the protocol's text anew, for
//! it must not lean on what it judges.

use super::order;
use redis_operator_core::decide::{Master, View};
use redis_operator_core::names;
use redis_operator_core::observed::{Answer, Instance, Observed, Policy};
use redis_operator_core::plan::{Label, Plan, Step};
use redis_operator_core::record::{Claim, Found, Phase, Process, Record, Stage};
use redis_operator_core::replication::Role;
use std::time::Duration;

/// What a law says: fine, or what is wrong.
pub type Verdict = Result<(), String>;

/// A law.
pub type Law = fn(&Observed, &Plan) -> Verdict;

/// All of them.
pub const ALL: [Law; 13] = [
    one_master_label,
    who_may_be_promoted,
    who_may_be_switched_to,
    the_most_advanced,
    enough_voters,
    data_is_not_wiped,
    no_election_unheard,
    silence_is_long_enough,
    order::record_moves_forward,
    order::announced_first,
    order::newcomers_are_touched_first,
    order::a_raised_guard_is_met,
    order::never_silently_stuck,
];

pub fn law(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

pub fn old(seen: &Observed) -> Option<&Record> {
    match &seen.record {
        Found::Record(record) => Some(record),
        Found::Absent | Found::Newer(_) | Found::Nonsense(_) => None,
    }
}

pub fn records(plan: &Plan) -> impl Iterator<Item = &Record> {
    plan.steps.iter().filter_map(|step| match step {
        Step::Record(next) => Some(next.as_ref()),
        _ => None,
    })
}

pub fn answer<'a>(seen: &'a Observed, process: &Process) -> Option<(&'a Instance, &'a Answer)> {
    let instance = seen.instances.get(&process.pod).filter(|i| i.uid == process.uid)?;
    let answer = instance
        .answer()
        .filter(|answer| answer.replication.run_id == process.run_id)?;
    Some((instance, answer))
}

fn has_data(record: &Record, answer: &Answer) -> bool {
    let it = &answer.replication;
    let current = it.id == record.id && it.offset >= record.promoted_at;
    let before = record.previous_id.as_ref() == Some(&it.id) && it.offset == record.promoted_at;
    it.placed && !it.loading && (current || before)
}

/// Who may be elected: connected members that have the data, and a master that was demoted with it.
fn candidates<'a>(seen: &'a Observed, record: &Record) -> Vec<(&'a Instance, &'a Answer)> {
    let members = record.members.values().map(|member| &member.process);
    let all = members
        .chain(&record.master)
        .filter_map(|process| answer(seen, process));
    let mut all: Vec<_> = all
        .filter(|(i, a)| i.attached && a.replication.role == Role::Replica && has_data(record, a))
        .collect();
    all.dedup_by_key(|(i, _)| i.uid.clone());
    all
}

fn new_claim<'a>(seen: &Observed, plan: &'a Plan) -> Option<&'a Claim> {
    let before = old(seen).and_then(|record| record.claim.as_ref());
    records(plan)
        .filter_map(|next| next.claim.as_ref())
        .find(|claim| Some(*claim) != before)
}

/// A claim in the term of the election; a restart begins a term of its own.
fn is_election(seen: &Observed, plan: &Plan) -> bool {
    let electing = old(seen).filter(|record| record.phase == Phase::Electing);
    electing.is_some_and(|record| records(plan).all(|next| next.term == record.term))
}

/// Law 1. Where labels are wrong already, nothing makes it worse.
pub fn one_master_label(seen: &Observed, plan: &Plan) -> Verdict {
    let mut labels: Vec<_> = seen
        .instances
        .values()
        .map(|i| (i.pod.clone(), i.label.clone()))
        .collect();
    let masters = |labels: &[(String, Option<String>)]| {
        labels
            .iter()
            .filter(|(_, label)| label.as_deref() == Some(names::ROLE_MASTER))
            .count()
    };
    let allowed = masters(&labels).max(1);
    for step in &plan.steps {
        if let Step::Label { pod, label, .. } = step {
            let entry = labels
                .iter_mut()
                .find(|(name, _)| name == pod)
                .ok_or("labels a pod that is not there")?;
            entry.1 = (*label == Label::Master).then(|| names::ROLE_MASTER.to_owned());
            let fine = masters(&labels) <= if *label == Label::Master { 1 } else { allowed };
            law(fine, || format!("law 1: {labels:?}"))?;
        }
    }
    Ok(())
}

/// Laws 2 and 3.
pub fn who_may_be_promoted(seen: &Observed, plan: &Plan) -> Verdict {
    for step in &plan.steps {
        if let Step::Promote { claim, .. } = step {
            let on_record = old(seen)
                .and_then(|r| r.claim.as_ref())
                .filter(|_| old(seen).unwrap().phase == Phase::Promoting);
            law(
                Some(claim) == records(plan).last().map_or(on_record, |r| r.claim.as_ref()),
                || "law 2: not the claim".to_owned(),
            )?;
        }
    }
    let Some(claim) = new_claim(seen, plan) else {
        return Ok(());
    };
    let (instance, it) = answer(seen, &claim.process).ok_or("law 2: claims one that does not answer")?;
    law(instance.attached, || {
        "law 2: claims one that is not connected".to_owned()
    })?;
    let again = old(seen).is_some_and(|record| record.claim.as_ref().is_some_and(|c| c.process.is(&claim.process)));
    let priority = instance.wanted_priority.unwrap_or(it.replication.priority);
    law(priority > 0 || again, || "law 3: claims priority 0".to_owned())?;
    law(it.replication.is_frozen(), || {
        "law 4: claims one that is not frozen".to_owned()
    })?;
    let as_frozen = (&claim.id, claim.offset) == (&it.replication.id, it.replication.offset);
    law(as_frozen, || "law 4: claims another state".to_owned())?;
    if let Some(record) = old(seen).filter(|_| is_election(seen, plan)) {
        let serves = record
            .master
            .as_ref()
            .and_then(|master| answer(seen, master))
            .is_some_and(|(i, _)| i.is_master());
        law(!serves, || "law 2: the master answers".to_owned())?;
        let electable = candidates(seen, record).iter().any(|(i, _)| i.uid == instance.uid);
        return law(electable, || format!("law 2: {} is not electable", instance.pod));
    }
    let master = seen.instances.values().find(|i| i.is_master());
    law(master.is_none() || again, || {
        format!("law 2: {} answers as master", master.unwrap().pod)
    })?;
    if let Some(record) = old(seen).filter(|_| !again) {
        return law(candidates(seen, record).is_empty(), || {
            "law 2: a restart although one has the data".to_owned()
        });
    }
    Ok(())
}

/// A switchover leads to one that is full, linked, to stay, and not of priority 0, and never begins while anybody joins or
/// leaves. A master that is deleted cannot wait for one to stay.
pub fn who_may_be_switched_to(seen: &Observed, plan: &Plan) -> Verdict {
    let Some(record) = old(seen).filter(|record| record.phase == Phase::Steady) else {
        return Ok(());
    };
    let target = records(plan).find(|next| next.phase == Phase::Switching);
    let Some(target) = target.and_then(|next| next.target.as_ref()) else {
        return Ok(());
    };
    let (instance, it) = answer(seen, target).ok_or("switches to one that does not answer")?;
    let priority = instance.wanted_priority.unwrap_or(it.replication.priority);
    let linked = it.replication.upstream.as_ref().is_some_and(|up| up.link_up);
    let member = record.member(&target.uid, &target.run_id);
    let calm = record.members.values().all(|member| member.stage == Stage::Full);
    let named = |i: &&Instance| record.master.as_ref().is_some_and(|master| master.uid == i.uid);
    let deleted = seen.instances.values().find(named).is_some_and(|i| i.deleting);
    let stays = !instance.deleting && (instance.evacuating.is_none() || deleted);
    law(member.is_some() && calm && linked && priority > 0 && stays, || {
        format!("switches to {instance:?}")
    })
}

/// Law 4, the offset.
pub fn the_most_advanced(seen: &Observed, plan: &Plan) -> Verdict {
    let (Some(claim), Some(record)) = (new_claim(seen, plan), old(seen).filter(|_| is_election(seen, plan))) else {
        return Ok(());
    };
    let most = candidates(seen, record)
        .into_iter()
        .map(|(_, a)| a.replication.offset)
        .max();
    law(most == Some(claim.offset), || {
        format!("law 4: {} of {most:?} is claimed", claim.offset)
    })
}

/// Law 4, the count: R + max(E, 1) > N, or the exception for a master that has ended for sure.
pub fn enough_voters(seen: &Observed, plan: &Plan) -> Verdict {
    let Some(record) = old(seen) else { return Ok(()) };
    let begins = record.phase == Phase::Steady && records(plan).any(|next| next.phase == Phase::Electing);
    let claims = is_election(seen, plan) && new_claim(seen, plan).is_some();
    if !begins && !claims {
        return Ok(());
    }
    let view = View::new(seen, record);
    let is_master = |i: &Instance| record.master.as_ref().is_some_and(|master| master.uid == i.uid);
    let reached = candidates(seen, record)
        .into_iter()
        .filter(|(i, _)| !is_master(i))
        .count();
    let could = |process: &Process| {
        let ended = matches!(view.master(), Master::Ended(proof) if proof.ends());
        let lacks = |a: &Answer| a.replication.role == Role::Replica && !a.replication.loading && !has_data(record, a);
        let cut = |i: &Instance, a: &Answer| ended || (i.attached && (begins || a.replication.is_frozen()));
        !answer(seen, process).is_some_and(|(i, a)| cut(i, a) && lacks(a))
    };
    let size = record
        .members
        .values()
        .filter(|member| member.stage == Stage::Full || member.was_full || could(&member.process))
        .count();
    let quorum = usize::try_from(record.quorum.max(1)).unwrap();
    let waited = seen.memory.ended_since.map(|since| seen.now.since(since));
    let exception =
        seen.desired.policy == Policy::Availability && waited >= Some(Duration::from_secs(1)) && reached > 0;
    let given_up = candidates(seen, record)
        .iter()
        .any(|(i, _)| names(seen, record, &i.pod));
    let exception = exception || given_up;
    let fine = match view.master() {
        Master::Demoted(_) => true,
        Master::Ended(proof) => reached + quorum > size || (proof.is_strong() && exception),
        Master::Silent(_) => reached + quorum > size,
        Master::Serves(_) | Master::Alive(_) | Master::Unclear | Master::None => false,
    };
    law(fine, || format!("law 4: {reached} of {size} with E {}", record.quorum))
}

/// A person names this pod, and did not do so before.
fn names(seen: &Observed, record: &Record, pod: &str) -> bool {
    seen.desired.elect.as_deref() == Some(pod) && record.elected.as_deref() != Some(pod)
}

/// Law 5.
pub fn data_is_not_wiped(seen: &Observed, plan: &Plan) -> Verdict {
    let Some(record) = old(seen) else { return Ok(()) };
    let Some((on, master)) = record.master.as_ref().and_then(|master| answer(seen, master)) else {
        return Ok(());
    };
    for next in records(plan).filter(|next| next.master == record.master && next.term == record.term) {
        let added = next
            .members
            .values()
            .filter(|m| record.member(&m.process.uid, &m.process.run_id).is_none());
        for (instance, it) in added.filter_map(|member| answer(seen, &member.process)) {
            let it = &it.replication;
            let related = it.id == record.id || record.previous_id.as_ref() == Some(&it.id);
            let copy = record.copies.contains(&instance.pod) && master.replication.keys > 0;
            let fine = it.keys == 0 || related || names(seen, record, &on.pod) || copy;
            law(fine, || format!("law 5: {} would be wiped", instance.pod))?;
        }
    }
    Ok(())
}

/// Law 6.
pub fn no_election_unheard(seen: &Observed, plan: &Plan) -> Verdict {
    let Some(record) = old(seen) else { return Ok(()) };
    let begins = record.phase == Phase::Steady && records(plan).any(|next| next.phase == Phase::Electing);
    if seen.instances.values().all(|i| i.answer().is_none()) {
        let moves = begins || new_claim(seen, plan).is_some();
        return law(!moves, || "law 6: nobody answers".to_owned());
    }
    let Some(master) = record.master.as_ref().filter(|_| begins) else {
        return Ok(());
    };
    if View::new(seen, record).end_of(master).is_some() || answer(seen, master).is_some() {
        return Ok(());
    }
    let hears = record
        .members
        .values()
        .filter_map(|m| answer(seen, &m.process))
        .find(|(_, a)| hears(seen, a, master));
    law(hears.is_none(), || {
        format!("law 6: {} hears the master", hears.unwrap().0.pod)
    })
}

/// Its link is up, or a full sync runs, and less than `down_after`, 1.5 s to 2 s, of silence is proved: by seconds, of which
/// n prove n - 1, or by an offset that stands still, for n at most.
fn hears(seen: &Observed, it: &Answer, master: &Process) -> bool {
    let second = Duration::from_secs(1);
    let least = seen.desired.down_after.clamp(second * 3 / 2, second * 2);
    let still = it.asked.since(it.still_since);
    it.replication.upstream.as_ref().is_some_and(|up| {
        let seconds = if up.syncing {
            up.sync_heard_seconds
        } else {
            up.heard_seconds
        };
        let seconds = second * u32::try_from(seconds.unwrap_or(0)).unwrap();
        let stands = !up.syncing && least <= still && least <= seconds;
        up.host == master.address && (up.link_up || up.syncing) && seconds < least + second && !stands
    })
}

/// A master that nothing proves ended is replaced only after its silence, with witnesses, and not before its guard holds.
pub fn silence_is_long_enough(seen: &Observed, plan: &Plan) -> Verdict {
    let Some(record) = old(seen) else { return Ok(()) };
    let Master::Silent(silence) = View::new(seen, record).master() else {
        return Ok(());
    };
    let begins = record.phase == Phase::Steady && records(plan).any(|next| next.phase == Phase::Electing);
    let claims = is_election(seen, plan) && new_claim(seen, plan).is_some();
    let moves = begins || claims;
    let enough = if begins {
        seen.desired.down_after.min(Duration::from_millis(500))
    } else {
        Duration::from_millis(500)
    };
    law(!moves || silence.lasts >= enough, || {
        format!("silent for {:?} only", silence.lasts)
    })?;
    let hears = |a: &Answer| !a.replication.is_frozen();
    let votes = record
        .members
        .values()
        .any(|m| m.stage == Stage::Full && answer(seen, &m.process).is_some_and(|(_, a)| hears(a)));
    law(!begins || votes, || "law 6: no witness".to_owned())?;
    let free = silence.hung && seen.desired.policy == Policy::Availability;
    let frozen = candidates(seen, record)
        .into_iter()
        .filter_map(|(_, a)| seen.memory.frozen.get(&a.replication.run_id));
    let since = frozen.max().map_or(Duration::ZERO, |at| seen.now.since(*at));
    let fenced = seen.desired.policy == Policy::Availability || since >= Duration::from_secs(3);
    law(!claims || free || fenced, || {
        format!("Durability: frozen for {since:?} only")
    })
}
