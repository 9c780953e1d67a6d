//! A way through the worlds, as a person reads it.

use crate::beginning;
use crate::config::Config;
use crate::world::{Action, CUTS, Link, World};
use redis_operator_core::plan::Step;

/// Goes a way again and tells each action and what came of it.
///
/// # Errors
/// Its first world does not come to rest.
pub fn tell(config: &Config, way: &[Action]) -> Result<Vec<String>, String> {
    let mut world = beginning::world(config)?;
    config.take_out()?;
    let mut lines = vec![format!("     {}", picture(&world))];
    for (n, action) in way.iter().enumerate() {
        let text = say(&world, *action);
        let plan = world.act(*action, config);
        let text = match &plan {
            None => text,
            Some(why) => format!("{text}: {}", describe(&world, *action, why)),
        };
        lines.push(format!("{:>3}  {text}", n + 1));
        lines.push(format!("     {}", picture(&world)));
    }
    Ok(lines)
}

fn say(world: &World, action: Action) -> String {
    match action {
        Action::Read(k) => format!("operator {k} opens connections and reads the record"),
        Action::Pass(k, fresh) => {
            let stale: Vec<_> = ["record", "slice"]
                .into_iter()
                .zip(fresh)
                .filter(|it| !it.1)
                .map(|it| it.0)
                .collect();
            let stale = if stale.is_empty() {
                String::new()
            } else {
                format!(" (its {} of before)", stale.join(" and "))
            };
            format!("operator {k} observes and decides{stale}")
        }
        Action::Step(k) => {
            let step = world.ops[usize::from(k)].as_ref().and_then(|op| op.next());
            format!("operator {k} does: {}", step.map_or_else(String::new, words))
        }
        Action::HoldUp => "the leader publishes; that is held up on its way, and nobody answers".to_owned(),
        Action::Arrive => "the publication that was held up arrives".to_owned(),
        Action::Succeed => "the lease goes to the other operator; the former leader does not know yet".to_owned(),
        Action::Stop(k) => format!("operator {k} learns that it was succeeded, and stops"),
        Action::Restart => "FAULT: the operator dies, another one leads".to_owned(),
        Action::Attach(i) => format!("{i} attaches to its master"),
        Action::Sync(i) => format!("{i} ends its full sync"),
        Action::Receive(i) => format!("{i} receives a write"),
        Action::Notice(i) => format!("{i} sees its link closed"),
        Action::Write(i) => format!("a client writes {} to {i}", world.writes + 1),
        Action::Tick(time) => format!("{} s pass", f64::from(time) / 1000.0),
        Action::Show(i) => format!("the status of pod {i} catches up"),
        Action::Start(i) => format!("kubelet starts the container of {i}"),
        Action::Create(i) => format!("the StatefulSet makes pod {i}"),
        Action::Remove(i) => format!("the StatefulSet takes pod {i} away"),
        Action::Reap => "kubelet ends the process without a pod object".to_owned(),
        Action::Outlive(_) => "a kubelet has outlived a pod that is gone".to_owned(),
        Action::Change => "the user asks for other pods".to_owned(),
        Action::TakeBack => "the user takes that back, and asks for redis-a-2 as master".to_owned(),
        Action::Ask => "the user asks for another master".to_owned(),
        Action::Scale(n) => format!("the user wants {n} replicas"),
        Action::Resume(i) => format!("{i} goes on"),
        Action::Heal => "the network is whole again".to_owned(),
        Action::Crash(i, keep) => format!("FAULT: {i} crashes, its data is {}", if keep { "kept" } else { "lost" }),
        Action::Hang(i) => format!("FAULT: {i} hangs"),
        Action::Cut(i, how) => format!("FAULT: {i} is cut {}", CUTS[usize::from(how)]),
        Action::Force(i) => format!("FAULT: the pod object of {i} is deleted by force, its process lives on"),
        Action::Hand(i) => format!("FAULT: somebody sends REPLICAOF NO ONE to {i}"),
    }
}

fn describe(world: &World, action: Action, why: &str) -> String {
    let Action::Pass(k, _) = action else {
        return why.to_owned();
    };
    let held = world.ops[usize::from(k)].as_ref().and_then(|op| op.plan.as_ref());
    let steps: Vec<_> = held
        .iter()
        .flat_map(|held| held.steps.iter())
        .map(|doc| words(&doc.value))
        .collect();
    let why = if why.is_empty() { "nothing to do" } else { why };
    if steps.is_empty() {
        why.to_owned()
    } else {
        format!("{why} ({})", steps.join("; "))
    }
}

fn words(step: &Step) -> String {
    match step {
        Step::Record(record) => format!("record {}", short(record)),
        Step::Publish(who) => format!("publish {}", who.run_id),
        Step::Follow { who, master } => format!("{} follow {master}", who.run_id),
        Step::Freeze(who) => format!("freeze {}", who.run_id),
        Step::Pause(who) => format!("pause {}", who.run_id),
        Step::Resume(who) => format!("let {} go on", who.run_id),
        Step::Demote(who) => format!("demote {}", who.run_id),
        Step::Promote { claim, .. } => format!("promote {} at {}", claim.process.run_id, claim.offset),
        Step::Guard { on, replicas, .. } => format!("guard {} with {replicas}", on.run_id),
        Step::AddUser { on, uid } => format!("user of {uid} on {}", on.run_id),
        Step::DropUser { on, user } => format!("drop {user} on {}", on.run_id),
        Step::Priority { on, priority } => format!("{} gets priority {priority}", on.run_id),
        Step::Serve(who) => format!("{} serves", who.run_id),
        Step::Label { pod, label, .. } => format!("label {pod} {label:?}"),
        Step::TouchPod { pod, .. } => format!("touch pod {pod}"),
        Step::DeletePod { pod, .. } => format!("delete pod {pod}"),
        Step::CutClients(who) => format!("cut clients of {}", who.run_id),
        Step::TouchSlice => "touch the slice".to_owned(),
    }
}

fn short(record: &redis_operator_core::record::Record) -> String {
    let members: Vec<_> = record
        .members
        .values()
        .map(|it| format!("{} {:?}", it.process.run_id, it.stage))
        .collect();
    let master = record.master.as_ref().map_or("nobody", |master| &master.run_id);
    let claim = record.claim.as_ref().map_or_else(String::new, |claim| {
        format!(" claim {} at {}", claim.process.run_id, claim.offset)
    });
    format!(
        "#{} term {} by {}: {:?} {master} {}{claim}, members [{}], E {}",
        record.seq % 1_000_000,
        record.term % 1_000_000,
        record.holder,
        record.phase,
        record.id,
        members.join(", "),
        record.quorum
    )
}

fn picture(world: &World) -> String {
    let slot = |i: usize| {
        let slot = &world.slots[i];
        let Some(it) = &slot.proc else { return format!("{i}: -") };
        let role = match (it.master, it.host, it.link) {
            (true, ..) => format!("MASTER G{}", it.guard),
            (false, 0, _) => "frozen".to_owned(),
            (false, host, Link::Up(_)) => format!("of a{host}"),
            (false, host, Link::Syncing(_)) => format!("syncs from a{host}"),
            (false, host, Link::Down(_)) => format!("seeks a{host}"),
        };
        let state = if it.hung { " hung" } else { "" };
        format!("{i}: r{} a{} {role}{state} i{} {:x}", it.run, slot.uid, it.id, it.data)
    };
    let slots: Vec<_> = (0..world.slots.len())
        .filter(|i| world.slots[*i].uid != 0)
        .map(slot)
        .collect();
    let record = world.recorded().map_or_else(|| "none".to_owned(), short);
    format!(
        "[{}] slice u{} | {record} | waited {:b}",
        slots.join(" | "),
        world.slice.target,
        world.waited >> 1
    )
}
