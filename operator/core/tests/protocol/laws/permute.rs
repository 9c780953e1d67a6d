//! The same pods under names that sort the other way round.

use redis_operator_core::observed::Observed;
use redis_operator_core::plan::{Plan, Step};
use redis_operator_core::record::{Found, Process, Record};
use std::collections::BTreeMap;

/// `redis-a-0` ↔ `redis-a-9`: the order of names is reversed, the ordinals stay.
fn other(pod: &str) -> String {
    let (head, tail) = pod.rsplit_once('-').unwrap();
    format!("{head}-{}", 9 - tail.parse::<u32>().unwrap())
}

fn process(mut process: Process) -> Process {
    process.pod = other(&process.pod);
    process
}

fn rename_record(record: &mut Record) {
    record.master = record.master.take().map(process);
    record.target = record.target.take().map(process);
    if let Some(claim) = &mut record.claim {
        claim.process = process(claim.process.clone());
    }
    let members = std::mem::take(&mut record.members);
    record.members = members
        .into_values()
        .map(|mut member| {
            member.process = process(member.process);
            (member.process.pod.clone(), member)
        })
        .collect();
    record.copies = record.copies.iter().map(|pod| other(pod)).collect();
    record.unwritten = record.unwritten.iter().map(|pod| other(pod)).collect();
    record.elected = record.elected.take().map(|pod| other(&pod));
    record.reason = String::new();
    if let Some(request) = &mut record.request {
        request.value = named(&request.value);
        request.reason = String::new();
    }
}

fn named(value: &str) -> String {
    if value == "any" { value.to_owned() } else { other(value) }
}

pub fn observed(seen: &Observed) -> Observed {
    let mut seen = seen.clone();
    if let Found::Record(record) = &mut seen.record {
        rename_record(record);
    }
    let instances = std::mem::take(&mut seen.instances);
    seen.instances = instances
        .into_values()
        .map(|mut instance| {
            instance.pod = other(&instance.pod);
            (instance.pod.clone(), instance)
        })
        .collect::<BTreeMap<_, _>>();
    seen.desired.elect = seen.desired.elect.map(|pod| other(&pod));
    seen.desired.switchover = seen.desired.switchover.map(|value| named(&value));
    seen
}

fn rename_step(step: &Step) -> Step {
    let mut step = step.clone();
    match &mut step {
        Step::Record(record) => rename_record(record),
        Step::Publish(who)
        | Step::Freeze(who)
        | Step::Demote(who)
        | Step::Pause(who)
        | Step::Resume(who)
        | Step::Serve(who)
        | Step::CutClients(who) => *who = process(who.clone()),
        Step::AddUser { on, .. } | Step::DropUser { on, .. } | Step::Guard { on, .. } | Step::Priority { on, .. } => {
            *on = process(on.clone());
        }
        Step::Follow { who, .. } => *who = process(who.clone()),
        Step::Promote { claim, users } => {
            claim.process = process(claim.process.clone());
            users.sort();
        }
        Step::Label { pod, .. } | Step::TouchPod { pod, .. } | Step::DeletePod { pod, .. } => *pod = other(pod),
        Step::TouchSlice => {}
    }
    step
}

/// What a plan does, without the order among equals; renamed back if it was made under the other names.
pub fn essence(plan: &Plan, back: bool) -> Vec<String> {
    let rename = |step: &Step| {
        let once = rename_step(step);
        if back { once } else { rename_step(&once) }
    };
    let mut steps: Vec<_> = plan.steps.iter().map(|step| format!("{:?}", rename(step))).collect();
    steps.sort();
    steps.push(plan.why.to_owned());
    steps.push(format!("{:?}", plan.wake));
    steps.extend(plan.notes.iter().map(|note| format!("{:?}", note.reason)));
    steps
}
