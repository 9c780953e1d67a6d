//! What must hold at every moment, whatever failed before.

use super::World;
use redis_operator_core::names;
use redis_operator_core::plan::Step;
use redis_operator_core::record::{Found, Phase, Process, Record, Stage};

impl World {
    /// The record as it is stored.
    pub fn found(&self) -> Found {
        self.read.clone()
    }

    /// The record, which is there and readable.
    pub fn record(&self) -> Record {
        match self.found() {
            Found::Record(record) => *record,
            other => panic!("no record: {other:?}"),
        }
    }

    /// After every step.
    pub fn check(&mut self) {
        let masters = self
            .pods
            .values()
            .filter(|pod| pod.label.as_deref() == Some(names::ROLE_MASTER));
        assert!(masters.count() <= 1, "law 1: two pods with role=master{}", self.story());
        let record = match self.found() {
            Found::Record(record) => record,
            Found::Absent | Found::Newer(_) => return,
            Found::Nonsense(what) => panic!("the record became nonsense: {what}{}", self.story()),
        };
        let now = (record.term, record.seq);
        assert!(
            now.0 >= self.newest.0 && now.1 >= self.newest.1,
            "law 11: the record went back"
        );
        self.newest = now;
        // one that is promoted again, after somebody demoted it, begins its guard anew; E is still of the term before
        let again = |master: &Process| record.claim.as_ref().is_some_and(|claim| claim.process.is(master));
        if let Some(master) = record.master.as_ref().filter(|master| !again(master)) {
            let pod = self.pods.get(&master.pod).filter(|pod| pod.uid == master.uid);
            let server = pod.and_then(|pod| pod.server.as_ref());
            if let Some(server) = server.filter(|server| server.run == master.run_id && server.master) {
                let (e, g) = (record.quorum, server.guard);
                assert!(e <= g, "law 11: E {e} > G {g} on {}{}", master.pod, self.story());
            }
        }
    }

    /// Before a step: its announcement is on record.
    pub fn check_before(&self, step: &Step) {
        let record = match self.found() {
            Found::Record(record) => record,
            _ => {
                let allowed = matches!(step, Step::Record(_) | Step::Freeze(_) | Step::TouchPod { .. });
                return assert!(allowed, "{step:?} without a record{}", self.story());
            }
        };
        let promoting = record.claim.as_ref().filter(|_| record.phase == Phase::Promoting);
        let is_member = |uid: &str| record.members.values().any(|member| member.process.uid == uid);
        match step {
            Step::Promote { claim, .. } => assert_eq!(Some(claim), promoting, "no claim on record{}", self.story()),
            Step::Publish(who) => {
                let named = match record.phase {
                    Phase::Steady => record.master.as_ref(),
                    Phase::Promoting => promoting.map(|claim| &claim.process),
                    Phase::Electing | Phase::Switching => None,
                };
                assert!(
                    named.is_some_and(|named| named.is(who)),
                    "published {who:?}{}",
                    self.story()
                );
                let server = self.pods.get(&who.pod).and_then(|pod| pod.server.as_ref());
                let gone = server.is_none_or(|server| server.run != who.run_id);
                assert!(gone || server.unwrap().master, "published a replica{}", self.story());
            }
            Step::Follow { who, .. } => {
                let member = record.member(&who.uid, &who.run_id);
                assert!(
                    member.is_some(),
                    "{who:?} is told before it is recorded{}",
                    self.story()
                );
            }
            Step::AddUser { uid, .. } => assert!(is_member(uid), "a user before the record{}", self.story()),
            Step::DropUser { user, .. } => {
                let mut staying = record.members.values().filter(|member| member.stage != Stage::Leaving);
                let theirs = staying.any(|member| names::replication_user(&member.process.uid) == *user);
                assert!(!theirs, "{user} of a member is dropped{}", self.story());
            }
            _ => {}
        }
    }

    /// Everybody who is wanted takes part, in the state in which nothing is left to do.
    pub fn is_healthy(&mut self) -> Result<(), String> {
        let seen = self.observe();
        let Found::Record(record) = &seen.record else {
            return Err(format!("record {:?}", seen.record));
        };
        let want = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        want(record.phase == Phase::Steady, "not steady")?;
        let master = record.master.clone().ok_or("no master")?;
        let serves = seen
            .instances
            .get(&master.pod)
            .filter(|i| i.uid == master.uid && i.is_master());
        let serves = serves.ok_or("the master does not serve")?;
        let slice = seen.slice.clone().unwrap_or(no_slice());
        want(slice.target.as_ref() == Some(&master.uid), "not published")?;
        let answer = serves.answer().unwrap();
        let full = record.at(Stage::Full).count();
        want(
            full + 1 == usize::try_from(seen.desired.replicas).unwrap(),
            "members are missing",
        )?;
        want(full == record.members.len(), "a member is not full")?;
        want(record.quorum == answer.guard, "E is not G")?;
        want(
            usize::try_from(record.quorum).unwrap() == full.div_ceil(2),
            "E is not half",
        )?;
        for member in record.at(Stage::Full) {
            let pod = self
                .pods
                .get(&member.process.pod)
                .filter(|pod| pod.uid == member.process.uid);
            let server = pod.and_then(|pod| pod.server.as_ref()).ok_or("a member is gone")?;
            want(server.run == member.process.run_id, "a member is another process")?;
            want(
                server.is_linked() && server.host == serves.address,
                "a member does not follow",
            )?;
            want(
                server.data == self.pods[&master.pod].server.as_ref().unwrap().data,
                "data differs",
            )?;
            want(server.serves, "a member is fenced")?;
            want(
                pod.unwrap().label.as_deref() == Some(names::ROLE_REPLICA),
                "no role=replica",
            )?;
        }
        want(serves.label.as_deref() == Some(names::ROLE_MASTER), "no role=master")?;
        let users: Vec<_> = record
            .members
            .values()
            .map(|m| names::replication_user(&m.process.uid))
            .collect();
        want(
            answer
                .users
                .iter()
                .eq(users.iter().collect::<std::collections::BTreeSet<_>>()),
            "users",
        )
    }

    /// What happened so far, for a message.
    pub fn story(&self) -> String {
        let last = self.trace.len().saturating_sub(40);
        format!("\n  {}\n{:#?}", self.trace[last..].join("\n  "), self.record)
    }
}

fn no_slice() -> redis_operator_core::observed::Slice {
    redis_operator_core::observed::Slice {
        target: None,
        address: None,
        holder: String::new(),
        term: 0,
        in_doubt: false,
    }
}
