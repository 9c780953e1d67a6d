//! What a step does, and what may go wrong at it.

use super::operator::Pass;
use super::server::Mood;
use super::{Fault, World};
use redis_operator_core::names;
use redis_operator_core::observed::Slice;
use redis_operator_core::plan::{Label, Step};
use redis_operator_core::record::Process;

impl World {
    /// Does one step, or not.
    pub fn step(&mut self, step: &Step, slice_version: u64) -> Pass {
        self.steps += 1;
        let fault = self.faults.remove(&self.steps);
        let of_slice = matches!(step, Step::TouchSlice | Step::Publish(_));
        let unanswered = of_slice && matches!(fault, Some(Fault::Fail | Fault::Unknown));
        if fault == Some(Fault::CrashBefore) {
            return Pass::Crashed;
        }
        if fault == Some(Fault::Fail) {
            self.operator.in_doubt |= unanswered;
            return Pass::Failed;
        }
        self.check_before(step);
        let done = self.apply(step, slice_version);
        self.operator.in_doubt |= unanswered;
        self.flow();
        self.check();
        match (fault, done) {
            (Some(Fault::CrashAfter), _) => Pass::Crashed,
            (Some(Fault::Unknown), _) | (_, Err(_)) => Pass::Failed,
            _ => Pass::Done,
        }
    }

    fn apply(&mut self, step: &Step, slice_version: u64) -> Result<(), &'static str> {
        match step {
            Step::Record(next) => {
                let seq = self
                    .record
                    .as_ref()
                    .and_then(|record| record["seq"].as_u64())
                    .unwrap_or(0);
                if next.seq != seq + 1 {
                    return Err("conflict");
                }
                self.store(Some(serde_json::to_value(next).unwrap()));
            }
            Step::TouchSlice => {
                self.slice_is(slice_version)?;
                let target = self.slice.as_ref().and_then(|slice| slice.target.clone());
                let address = self.slice.as_ref().and_then(|slice| slice.address.clone());
                self.write_slice(target, address);
            }
            Step::Publish(master) => {
                self.slice_is(slice_version)?;
                // owned by its pod: without that it is collected at once
                let exists = self.pods.values().any(|pod| pod.uid == master.uid);
                self.write_slice(
                    exists.then(|| master.uid.clone()),
                    exists.then(|| master.address.clone()),
                );
            }
            Step::Label {
                pod,
                uid,
                resource_version,
                label,
            } => {
                let pod = self.pods.get_mut(pod).filter(|pod| pod.uid == *uid).ok_or("gone")?;
                if pod.version.to_string() != *resource_version {
                    return Err("conflict");
                }
                pod.label = match label {
                    Label::Master => Some(names::ROLE_MASTER.to_owned()),
                    Label::Replica => Some(names::ROLE_REPLICA.to_owned()),
                    Label::None => None,
                };
                pod.version += 1;
            }
            Step::TouchPod {
                pod,
                uid,
                resource_version,
            } => {
                let pod = self.pods.get_mut(pod).filter(|pod| pod.uid == *uid).ok_or("gone")?;
                if pod.version.to_string() != *resource_version {
                    return Err("conflict");
                }
                pod.version += 1;
            }
            Step::DeletePod {
                pod,
                uid,
                resource_version,
            } => {
                let found = self.pods.get(pod).filter(|pod| pod.uid == *uid).ok_or("gone")?;
                if found.version.to_string() != *resource_version {
                    return Err("conflict");
                }
                self.vanish(found.ordinal);
            }
            _ => return self.command(step),
        }
        Ok(())
    }

    /// What the slice says is written by this holder; its resource version changes.
    fn write_slice(&mut self, target: Option<String>, address: Option<String>) {
        self.slice_version += 1;
        let record = self.record.as_ref();
        let term = record.and_then(|record| record.get("term")?.as_u64());
        self.slice = Some(Slice {
            target,
            address,
            holder: self.operator.holder.clone(),
            term: term.unwrap_or_default(),
            in_doubt: false,
        });
        self.operator.in_doubt = false;
    }

    fn slice_is(&self, version: u64) -> Result<(), &'static str> {
        (self.slice_version == version).then_some(()).ok_or("conflict")
    }

    fn command(&mut self, step: &Step) -> Result<(), &'static str> {
        let to = step.server().ok_or("no command")?;
        let name = self.connection_to(to)?;
        if matches!(
            step,
            Step::Freeze(_) | Step::Demote(_) | Step::Promote { .. } | Step::Follow { .. }
        ) {
            self.hang_up_on(&name);
        }
        let (now, id) = (self.now, format!("id-{}", self.draw()));
        let server = self.pods.get_mut(&name).unwrap().server.as_mut().unwrap();
        match step {
            Step::AddUser { uid, .. } => {
                server.users.insert(names::replication_user(uid));
            }
            Step::DropUser { user, .. } => {
                server.users.remove(user);
            }
            Step::Follow { who, master } => {
                (server.attaches_as, server.wrong_password) = (names::replication_user(&who.uid), false);
                server.follow(master, now);
            }
            Step::Freeze(_) => server.follow("127.0.0.1", now),
            Step::Pause(_) => server.paused = Some(now),
            Step::Resume(_) => server.paused = None,
            Step::Demote(_) => {
                server.paused = None;
                server.follow("127.0.0.1", now);
                server.serves = false;
                self.cut_clients.push(name);
            }
            Step::Promote { users, .. } => server.promote(id, users.iter().map(|uid| names::replication_user(uid))),
            Step::Guard { replicas, lag, .. } => (server.guard, server.guard_lag) = (*replicas, *lag),
            Step::Serve(_) => server.serves = true,
            Step::Priority { priority, .. } => server.priority = *priority,
            Step::CutClients(_) => self.cut_clients.push(name),
            _ => return Err("no command"),
        }
        Ok(())
    }

    /// The pod of that very process, over a connection that this operator may use.
    fn connection_to(&self, process: &Process) -> Result<String, &'static str> {
        let attached = self.operator.attached.get(&process.uid) == Some(&process.run_id);
        let pod = self
            .pods
            .get(&process.pod)
            .filter(|pod| pod.uid == process.uid && attached);
        let away = |name: &str| {
            self.unreachable.contains(name) || self.rejecting.contains(name) || self.isolated.contains(name)
        };
        let up = |pod: &&super::cluster::Pod| {
            let server = pod.server.as_ref();
            !pod.node_lost
                && !pod.object_gone
                && !away(&pod.name)
                && server.is_some_and(|s| s.run == process.run_id && s.mood == Mood::Fine)
        };
        Ok(pod.filter(up).ok_or("not connected")?.name.clone())
    }
}
