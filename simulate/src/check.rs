//! What must hold, and how far a run has come.

use crate::cluster::objects;
use crate::event::Event;
use crate::faults::Moment;
use crate::operator::Planned;
use crate::settings::Class;
use crate::world::{Time, World, text};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use redis_operator_core::names;
use redis_operator_core::record::{Phase, Record, Stage};
use std::collections::{BTreeMap, BTreeSet};

/// How long it may take to come to rest after the last fault.
const REST: Time = 400_000_000;
/// After this time without health a person follows the condition that names the way out.
const PERSON: Time = 100_000_000;
/// And then does something again and again.
const EVERY: Time = 15_000_000;
/// A replaced master acknowledges nothing later than this after the freeze: M + 2 s, and what rounding adds.
const FENCE: Time = 4_500_000;

/// What clients were told.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By number of the write: by whom, and whether WAIT had it acknowledged.
    writes: Vec<Option<(usize, bool)>>,
    waited: Vec<u32>,
    plain: Vec<u32>,
    /// Nobody writes any more.
    pub closed: bool,
    /// Since when all is well.
    pub well_since: Option<Time>,
    /// When the last fault ended.
    pub quiet_since: Time,
    /// Processes that were replaced, and since when their replicas were frozen.
    replaced: BTreeMap<usize, Time>,
    person: u32,
}

impl Ledger {
    /// The number of the next write.
    pub fn begin_write(&mut self) -> u32 {
        self.writes.push(None);
        self.writes.len() as u32 - 1
    }
}

impl World {
    /// A client was told that a write is done.
    pub fn acknowledge(&mut self, n: u32, by: usize, waited: bool) {
        self.ledger.writes[n as usize] = Some((by, waited));
        if waited {
            self.beside(Moment::Waited);
            self.ledger.waited.push(n);
        } else {
            self.ledger.plain.push(n);
        }
        self.coverage.count(
            if waited {
                "writes acknowledged by WAIT"
            } else {
                "writes acknowledged"
            },
            1,
        );
    }

    /// A process became master on the operator's word.
    pub fn promoted(&mut self, number: usize) {
        self.log(|| format!("{} is promoted at {}", text::run(number), self_offset(number)));
        self.coverage.count("promotions", 1);
        self.ledger.replaced.remove(&number);
        let frozen = self
            .servers
            .iter()
            .filter(|it| it.is_alive())
            .filter_map(|it| it.frozen_at)
            .max()
            .unwrap_or(self.now);
        for other in 0..self.servers.len() {
            if other != number && self.servers[other].master && self.servers[other].is_alive() {
                self.ledger.replaced.insert(other, frozen);
            }
        }
        self.check_data(number, "promoted");
    }

    /// Whether a process has everything that it must have.
    fn check_data(&mut self, number: usize, what: &str) {
        let data = &self.servers[number].data;
        let missing: Vec<_> = self.ledger.waited.iter().copied().filter(|n| !data.has(*n)).collect();
        if missing.is_empty() {
            return;
        }
        self.coverage
            .count("WAIT-acknowledged writes missing", missing.len() as u64);
        self.log(|| {
            format!(
                "{} lacks {} WAIT-acknowledged writes: {missing:?}",
                text::run(number),
                missing.len()
            )
        });
        if self.settings.class != Class::Chaos {
            let by: Vec<_> = missing
                .iter()
                .filter_map(|n| self.ledger.writes[*n as usize])
                .map(|(by, _)| text::run(by))
                .collect();
            self.violation(format!(
                "promise 2: {} is {what} without {missing:?}, acknowledged by {by:?}",
                text::run(number)
            ));
        }
        // told once
        let data = self.servers[number].data.clone();
        self.ledger.waited.retain(|n| data.has(*n));
    }

    /// A process takes a write.
    pub fn check_write(&mut self, number: usize) {
        let Some(frozen) = self.ledger.replaced.get(&number) else {
            return;
        };
        let from = self.servers[number].synced.max(*frozen);
        let late = self.now.saturating_sub(from) > FENCE;
        if late && !self.servers[number].hung_once && self.settings.class != Class::Chaos {
            self.violation(format!(
                "promise 7: {} takes writes {} ms after the freeze",
                text::run(number),
                (self.now - frozen) / 1000
            ));
        }
    }

    /// The record that is about to be written.
    pub fn check_record(&mut self, next: &Record) {
        if let Some(before) = self.api.redis.record.clone()
            && next.term < before.term
        {
            self.violation(format!("law 11: the term falls from {} to {}", before.term, next.term));
        }
        self.log(|| {
            let members: Vec<_> = next
                .members
                .values()
                .map(|m| format!("{}={:?}", m.process.run_id, m.stage))
                .collect();
            format!(
                "record {}: term {} {:?} by {}, master {}, E {}, {} {}",
                next.seq,
                next.term,
                next.phase,
                next.holder,
                next.master.as_ref().map_or("none", |master| &master.run_id),
                next.quorum,
                members.join(" "),
                next.claim
                    .as_ref()
                    .map(|claim| format!("claim {} at {}", claim.process.run_id, claim.offset))
                    .unwrap_or_default(),
            )
        });
        let master = next.master.as_ref().and_then(|master| text::read_run(&master.run_id));
        if let Some(server) = master
            .map(|master| &self.servers[master])
            .filter(|server| server.is_alive() && server.master)
        {
            let (e, g) = (next.quorum, server.guard);
            // one that is promoted again has none yet; nobody feeds on it before the next record
            if e <= g {
                self.api.edited = false;
            } else if next.phase != Phase::Promoting && !self.api.edited {
                self.violation(format!("law 11: E {e} > G {g}"));
            }
        }
    }

    /// The slice that is about to be written.
    pub fn check_slice(&mut self, slice: Option<&EndpointSlice>) {
        let Some(seen) = slice.map(redis_operator::slice::observed) else {
            return;
        };
        let address = seen.address.as_deref().and_then(text::read_address);
        self.log(|| {
            format!(
                "published: {} by {} in term {}",
                seen.address.as_deref().unwrap_or("nobody"),
                seen.holder,
                seen.term
            )
        });
        let record = self.api.redis.record.as_deref().filter(|_| !self.api.edited);
        if let (Some(target), Some(record)) = (&seen.target, record) {
            let before = self.api.slice.as_deref().map(redis_operator::slice::observed);
            let stays = before.and_then(|before| before.target).as_ref() == Some(target);
            let claimed = record.claim.as_ref().map(|claim| &claim.process);
            let mut wanted = record.master.iter().chain(claimed);
            if !stays && !wanted.any(|process| process.uid == *target) {
                let text = format!("{} publishes {target}, whom the record does not name", seen.holder);
                self.violation(text);
            }
        }
        let Some(number) = address.and_then(|address| self.listening(address)) else {
            return;
        };
        if seen.target != Some(text::uid(self.servers[number].pod)) || !self.servers[number].master {
            return;
        }
        self.check_data(number, "published");
    }

    /// Law 1.
    pub fn check_labels(&mut self) {
        let masters = self
            .api
            .pods
            .values()
            .filter(|pod| pod.labels().get(names::LABEL_ROLE).map(String::as_str) == Some(names::ROLE_MASTER));
        if masters.count() > 1 {
            self.violation("law 1: two pods with role=master".to_owned());
        }
    }

    /// Somebody writes the StatefulSet. Once who holds the record has, others know less.
    pub fn check_set(&mut self, holder: &str) {
        let record = self.api.redis.record.as_ref().map(|record| record.holder.as_str());
        let wrote = self
            .api
            .set
            .as_ref()
            .and_then(|set| set.annotations().get(names::ANNOTATION_HOLDER));
        if record.is_some_and(|record| record != holder && wrote.is_some_and(|wrote| wrote == record)) {
            self.violation(format!(
                "{holder} writes the StatefulSet after {wrote:?}, who holds the record"
            ));
        }
    }

    /// An operator has decided.
    pub fn planned(&mut self, operator: usize, planned: Planned) {
        *self.coverage.whys.entry(planned.why).or_default() += 1;
        *self.coverage.phases.entry(planned.phase).or_default() += 1;
        let waits = !planned.acts;
        if !self.verbose || waits && (planned.text.is_empty() || self.said[operator] == planned.text) {
            return;
        }
        self.log(|| format!("operator {operator}: {}", planned.text));
        if waits {
            self.said[operator] = planned.text;
        }
    }

    /// Every quarter of a second: is all well, and is it time for the next fault, or for the end?
    pub fn look_around(&mut self) {
        if self.over {
            return;
        }
        self.schedule(self.now + 250_000, Event::Look);
        let health = self.health();
        if health.is_ok() {
            self.ledger.well_since.get_or_insert(self.now);
        } else {
            self.ledger.well_since = None;
        }
        let over = self.next_fault();
        let quiet = self.now.saturating_sub(self.ledger.quiet_since);
        if self.plan.armed || self.plan.open > 0 {
            return;
        }
        match health {
            Ok(()) if !over => self.ledger.person = 0,
            Ok(())
                if self
                    .ledger
                    .well_since
                    .is_some_and(|since| self.now - since >= 1_500_000) =>
            {
                if self.ledger.closed {
                    return self.conclude();
                }
                self.ledger.closed = true;
                self.ledger.well_since = None;
            }
            Ok(()) => {}
            Err(what) if quiet > REST => self.violation(format!("it does not come to rest: {what}")),
            Err(_) if quiet > PERSON + EVERY * u64::from(self.ledger.person) => self.send_person(),
            Err(_) => {}
        }
    }

    /// A person does what conditions ask for: one thing after another, until one helps.
    fn send_person(&mut self) {
        let turn = self.ledger.person;
        self.ledger.person += 1;
        self.settings.priorities = vec![100];
        for priority in &mut self.api.redis.priorities {
            *priority = (*priority).max(1);
        }
        self.want(|_| ());
        if turn == 0 {
            return;
        }
        self.coverage.count("a person did something", 1);
        if self.make_one_master() {
            return;
        }
        let ended = self.api.redis.record.clone();
        let ended = ended
            .iter()
            .flat_map(|record| record.processes())
            .filter(|process| !process.ended);
        let ended: Vec<_> = ended.map(|process| process.run_id.clone()).collect();
        let ended: BTreeSet<_> = ended
            .into_iter()
            .filter(|run| text::read_run(run).is_some_and(|run| !self.servers[run].is_alive()))
            .collect();
        let pods: Vec<_> = self.api.pods.keys().cloned().collect();
        let choice = |n: u32, of: &[String]| of.get(n as usize % of.len().max(1)).cloned();
        let elect = choice(turn / 2, &pods).filter(|_| turn > 3);
        self.log(|| format!("a person declares {ended:?} to have ended, and names {elect:?}"));
        self.want(|desired| (desired.ended, desired.elect) = (ended, elect));
    }

    /// Of several masters all but the one that most follow are made replicas of it.
    fn make_one_master(&mut self) -> bool {
        let masters: Vec<_> = (0..self.servers.len())
            .filter(|it| self.servers[*it].is_fine() && self.servers[*it].master)
            .collect();
        let Some(stays) = masters
            .iter()
            .copied()
            .max_by_key(|it| self.servers[*it].replicas.len())
        else {
            return false;
        };
        let address = self.servers[stays].address;
        for other in masters.iter().copied().filter(|it| *it != stays) {
            self.log(|| format!("a person makes {} a replica of {}", text::run(other), text::run(stays)));
            self.follow(other, address);
        }
        masters.len() > 1
    }

    /// Everybody who is wanted takes part.
    fn health(&self) -> Result<(), String> {
        let want = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let record = self.api.redis.record.as_deref().ok_or("no record")?;
        want(record.phase == Phase::Steady, "not steady")?;
        let process = record.master.as_ref().ok_or("no master")?;
        let number = text::read_run(&process.run_id).ok_or("no run")?;
        let master = &self.servers[number];
        want(
            master.is_fine() && master.master && master.loading.is_none(),
            "the master does not serve",
        )?;
        let slice = self
            .api
            .slice
            .as_deref()
            .map(redis_operator::slice::observed)
            .ok_or("no slice")?;
        want(slice.target.as_ref() == Some(&process.uid), "not published")?;
        want(
            slice.address == Some(text::address(master.address)),
            "published elsewhere",
        )?;
        let wanted = self.api.redis.desired.replicas as usize;
        let ordinal = self.pods[master.pod as usize].ordinal as usize;
        want(ordinal < wanted, "the master is beyond the wanted pods")?;
        let full = record.at(Stage::Full).count();
        want(
            full + 1 == wanted && self.api.pods.len() == wanted,
            "members are missing",
        )?;
        want(full == record.members.len(), "a member is not full")?;
        want(
            record.quorum == master.guard && record.quorum as usize == full.div_ceil(2),
            "E or G",
        )?;
        for member in record.members.values() {
            let number = text::read_run(&member.process.run_id).ok_or("no run")?;
            let it = &self.servers[number];
            want(
                it.is_fine() && it.is_linked() && it.upstream == master.address && it.serves,
                "a member does not follow",
            )?;
            want(
                self.role(&member.process.pod) == Some(names::ROLE_REPLICA),
                "role=replica",
            )?;
            if self.ledger.closed {
                want(it.data == master.data, "data differs")?;
            }
        }
        let restart = &self.api.redis.desired.restart;
        want(
            restart.is_none() || record.restarted == *restart,
            "a restart is not accepted",
        )?;
        let spec = objects::revision(self.api.redis.spec, record.restarted.as_deref());
        let made_for = |pod: &std::sync::Arc<Pod>| pod.annotations().get(names::ANNOTATION_SPEC) == Some(&spec);
        want(self.api.pods.values().all(made_for), "a pod was made for another spec")?;
        want(!self.pods.iter().any(|pod| pod.doomed && !pod.over), "a pod is going")?;
        want(
            self.operators.iter().any(|it| it.alive && !it.paused && it.leads()),
            "no operator leads",
        )?;
        want(self.role(&process.pod) == Some(names::ROLE_MASTER), "role=master")
    }

    fn role(&self, pod: &str) -> Option<&str> {
        self.api
            .pods
            .get(pod)?
            .labels()
            .get(names::LABEL_ROLE)
            .map(String::as_str)
    }

    fn conclude(&mut self) {
        let master = self
            .api
            .redis
            .record
            .as_ref()
            .and_then(|record| text::read_run(&record.master.as_ref()?.run_id));
        if let Some(master) = master {
            self.check_data(master, "left");
            let data = &self.servers[master].data;
            let lost: Vec<_> = self
                .ledger
                .plain
                .iter()
                .filter(|n| !data.has(**n))
                .filter_map(|n| self.ledger.writes[*n as usize])
                .collect();
            if self.settings.class == Class::Planned && self.settings.replicas > 1 && !lost.is_empty() {
                self.violation(format!("{} writes were lost without any failure", lost.len()));
            }
            for (by, _) in lost {
                let why = self.why_lost(by);
                self.coverage.count(why, 1);
            }
        }
        self.over = true;
    }
}

impl World {
    fn why_lost(&self, by: usize) -> &'static str {
        match (self.settings.class, &self.servers[by]) {
            (_, _) if self.settings.replicas == 1 || self.api.redis.desired.replicas == 1 => {
                "plain writes lost: of one alone"
            }
            (Class::Planned, _) => "plain writes lost in planned changes",
            (Class::Chaos, _) => "plain writes lost in chaos",
            (Class::Single, it) if it.hung_once => "plain writes lost: by one that hung",
            (Class::Single, it) if it.unplugged => "plain writes lost: by one whose node lost its power",
            (Class::Single, it) if it.mood == crate::server::Mood::Ended => "plain writes lost: by one that ended",
            (Class::Single, _) => "plain writes lost: by one that was replaced alive",
        }
    }
}

fn self_offset(number: usize) -> String {
    format!("its offset (process {number})")
}
