//! How each fault is done, and undone.

use crate::event::Event;
use crate::faults::{Action, Target, Way};
use crate::message::Verb;
use crate::network::{Cut, Side};
use crate::server::Link;
use crate::world::{OPERATOR_ADDRESS, Time, World, text};
use redis_operator_core::observed::Paused;
use redis_operator_core::record::Record;
use std::sync::Arc;
use std::time::Duration;

impl World {
    /// A fault begins, or ends.
    pub fn inject(&mut self, number: usize, action: Action) {
        if !is_end(&action) && number < self.plan.begun {
            return; // it came beside something, before its time
        }
        self.log(|| format!("FAULT {action:?}"));
        self.ledger.quiet_since = self.now;
        self.ledger.well_since = None;
        if is_end(&action) {
            self.plan.open -= 1;
            return self.undo(action);
        }
        *self.coverage.faults.entry(action.name()).or_default() += 1;
        let lasts = self.fault(number).map_or(0, |fault| fault.lasts);
        self.plan.begun += 1;
        (self.plan.armed, self.plan.beside) = (false, None);
        if let Some(end) = self.act(action) {
            self.plan.open += 1;
            self.schedule(self.now + lasts, Event::Fault(number, Box::new(end)));
        }
        self.next_fault();
    }

    fn undo(&mut self, action: Action) {
        match action {
            Action::Resume(server) => self.resume(server),
            Action::Heal(cut) => self.heal(cut),
            Action::NodeUp(node) => self.node_up(node),
            Action::KubeletBack(node) => {
                self.nodes[usize::from(node)].kubelet_silent = false;
                self.wake_kubelet(node);
            }
            Action::ResumeOperator(operator) => self.resume_operator(usize::from(operator)),
            Action::HealApi(operator) => self.operators[usize::from(operator)].api_cut = false,
            Action::ApiBack => self.api.away = None,
            Action::RollBack(spec) => self.want_spec(spec),
            Action::Uncordon(node) => self.cordon(node, false),
            Action::TakeBack => self.want(|desired| desired.switchover = None),
            Action::GoOn => self.want(|desired| desired.paused = Paused::No),
            _ => {}
        }
    }

    /// What it does now; and its end, if it has one.
    #[allow(clippy::too_many_lines, reason = "an arm for each kind")]
    fn act(&mut self, action: Action) -> Option<Action> {
        match action {
            Action::Kill(target) => {
                let server = self.process_of(target)?;
                self.end(server);
                self.notice_end(server);
            }
            Action::Hang(target) => {
                let server = self.process_of(target)?;
                self.hang(server);
                let pause = self.random.between(10_000_000, 16_000_000);
                self.schedule(self.now + pause, Event::Liveness(server));
                return Some(Action::Resume(server));
            }
            Action::Script(target) => {
                let server = self.process_of(target)?;
                self.script(server);
                return Some(Action::Resume(server));
            }
            Action::DropLinks(target) => {
                let server = self.process_of(target)?;
                let replicas: Vec<_> = self.servers[server]
                    .replicas
                    .iter()
                    .map(|replica| replica.cid)
                    .collect();
                for cid in replicas {
                    self.drop_replica(server, cid);
                }
            }
            Action::Save(target) => {
                let server = self.process_of(target)?;
                self.save(server);
            }
            Action::Isolate(target, way) => {
                let address = self.servers[self.process_of(target)?].address;
                return Some(self.cut_path(Side::Address(address), Side::Any, way, false));
            }
            Action::Split(target, way) => {
                let address = self.servers[self.process_of(target)?].address;
                return Some(self.cut_path(Side::Address(address), Side::NoClient, way, false));
            }
            Action::CutOperator(operator, target, way, rejects) => {
                let address = self.servers[self.process_of(target)?].address;
                let operator = Side::Address(OPERATOR_ADDRESS + operator);
                return Some(self.cut_path(Side::Address(address), operator, way, rejects));
            }
            Action::CutPair(one, other, way) => {
                let (one, other) = (self.process_of(one)?, self.process_of(other)?);
                let (one, other) = (self.servers[one].address, self.servers[other].address);
                return Some(self.cut_path(Side::Address(one), Side::Address(other), way, false));
            }
            Action::CutNode(node) => {
                return Some(self.cut_path(Side::Node(node), Side::NotNode(node), Way::Both, false));
            }
            Action::NodeDown(node) => {
                self.node_down(node);
                return Some(Action::NodeUp(node));
            }
            Action::KubeletSilent(node) => {
                self.nodes[usize::from(node)].kubelet_silent = true;
                return Some(Action::KubeletBack(node));
            }
            Action::Clock(node, seconds) => self.nodes[usize::from(node)].clock += seconds * 1_000_000,
            Action::KillOperator(operator) => self.end_operator(usize::from(operator)),
            Action::PauseOperator(operator) => {
                self.pause_operator(usize::from(operator));
                return Some(Action::ResumeOperator(operator));
            }
            Action::CutApi(operator) => {
                self.operators[usize::from(operator)].api_cut = true;
                return Some(Action::HealApi(operator));
            }
            Action::Deaf(operator) => {
                let pause = self.random.between(500_000, 7_000_000);
                let operator = &mut self.operators[usize::from(operator)];
                operator.deaf_until = self.now + pause;
            }
            Action::Usurp(operator) => self.operators[usize::from(operator)].usurps = true,
            Action::ApiAway(refuses) => {
                self.api.away = Some(refuses);
                return Some(Action::ApiBack);
            }
            Action::RollBroken if self.api.away.is_none() => {
                let before = self.api.good_spec();
                let broken = self.api.specs + 1;
                self.api.broken.insert(broken);
                self.want_spec(broken);
                return Some(Action::RollBack(before));
            }
            Action::Ask if self.api.away.is_none() => {
                self.want(|desired| desired.switchover = Some("any".to_owned()));
                return Some(Action::TakeBack);
            }
            Action::Pause(paused) if self.api.away.is_none() => {
                self.want(|desired| desired.paused = paused);
                return Some(Action::GoOn);
            }
            Action::Cordon(node) if self.api.away.is_none() => {
                self.cordon(node, true);
                return Some(Action::Uncordon(node));
            }
            Action::DeletePod(target) => {
                let name = self.pod_of(target)?;
                self.api_does(|world| world.delete_pod(&name));
            }
            Action::ForceDelete(target) => {
                let name = self.pod_of(target)?;
                self.api_does(|world| world.force_delete(&name));
            }
            action => self.act_on_all(action),
        }
        None
    }

    fn act_on_all(&mut self, action: Action) {
        match action {
            Action::DeleteAll => {
                let names: Vec<_> = self.api.pods.keys().cloned().collect();
                self.api_does(|world| names.iter().for_each(|name| world.delete_pod(name)));
            }
            Action::KillAll => {
                for server in 0..self.servers.len() {
                    if self.servers[server].is_alive() {
                        self.end(server);
                        self.notice_end(server);
                    }
                }
            }
            Action::Scale(replicas) => self.api_does(|world| world.want(|desired| desired.replicas = replicas)),
            Action::Roll => self.api_does(|world| world.want_spec(world.api.specs + 1)),
            Action::Restart => {
                let time = format!("r{}", self.api.version);
                self.api_does(|world| world.want(|desired| desired.restart = Some(time)));
            }
            Action::SetPolicy(policy) => self.api_does(|world| world.want(|desired| desired.policy = policy)),
            Action::SetDownAfter(millis) => {
                self.api_does(|world| world.want(|desired| desired.down_after = Duration::from_millis(millis)));
            }
            Action::ByHand(target, follow) => self.by_hand(target, follow),
            Action::LoseRecord => self.put_record(None),
            Action::OldRecord => {
                if let Some(before) = self.api.before.clone() {
                    self.put_record(Some(before));
                }
            }
            _ => {}
        }
    }

    /// Somebody writes the record who is no operator.
    fn put_record(&mut self, record: Option<Arc<Record>>) {
        self.api_does(|world| {
            world.api.redis.record = record;
            world.api.edited = true;
            world.want(|_| ());
        });
    }

    fn api_does(&mut self, what: impl FnOnce(&mut Self)) {
        if self.api.away.is_none() {
            what(self);
        }
    }

    /// A person with redis-cli.
    fn by_hand(&mut self, target: Target, follow: bool) {
        let Some(server) = self.process_of(target) else { return };
        if !self.servers[server].is_fine() || self.servers[server].loading.is_some() {
            return;
        }
        self.unfollow(server);
        let address = self.servers[server].address;
        for other in 0..self.servers.len() {
            let it = &self.servers[other];
            if follow && other != server && it.is_fine() && it.loading.is_none() {
                if let Some(user) = it.attaches_as {
                    self.servers[server].users.insert(user);
                }
                let user = self.servers[other].pod;
                self.servers[server].users.insert(user);
                let _ = self.run_verb(other, None, Verb::Follow(address, user));
            }
        }
    }

    fn cut_path(&mut self, one: Side, other: Side, way: Way, rejects: bool) -> Action {
        self.cut_number += 1;
        let number = self.cut_number;
        if way != Way::In {
            self.cut(Cut {
                from: one,
                to: other,
                rejects,
                number,
            });
        }
        if way != Way::Out {
            self.cut(Cut {
                from: other,
                to: one,
                rejects,
                number,
            });
        }
        Action::Heal(number)
    }

    fn node_down(&mut self, node: u8) {
        self.nodes[usize::from(node)].down = true;
        for server in 0..self.servers.len() {
            if self.servers[server].node == node {
                self.end(server);
            }
        }
        for operator in 0..self.operators.len() {
            if self.operators[operator].node == node {
                self.end_operator(operator);
            }
        }
    }

    fn node_up(&mut self, node: u8) {
        let it = &mut self.nodes[usize::from(node)];
        it.down = false;
        it.boot += 1;
        let boot = it.boot;
        self.put_node(node, boot, false);
        self.wake_kubelet(node);
        for operator in 0..self.operators.len() {
            if self.operators[operator].node == node {
                self.schedule(self.now + 1_000_000, Event::Operator(operator));
            }
        }
    }

    fn wake_kubelet(&mut self, node: u8) {
        for number in 0..self.pods.len() {
            if self.pods[number].node == node && !self.pods[number].over {
                let pause: Time = self.random.between(50_000, 2_000_000);
                self.schedule(self.now + pause, Event::Kubelet(number as u32));
                self.schedule(self.now + pause + 100_000, Event::Report(number as u32));
            }
        }
        self.ask_controller();
    }

    fn master_number(&self) -> Option<usize> {
        text::read_run(&self.api.redis.record.as_ref()?.master.as_ref()?.run_id)
    }

    /// The process that is meant, if it lives.
    fn process_of(&self, target: Target) -> Option<usize> {
        let master = self.master_number();
        match target {
            Target::Master => master.filter(|master| self.servers[*master].is_alive()),
            Target::Replica(n) => {
                let others: Vec<_> = (0..self.servers.len())
                    .filter(|it| self.servers[*it].is_alive() && Some(*it) != master)
                    .collect();
                others.get(n as usize % others.len().max(1)).copied()
            }
        }
    }

    fn pod_of(&self, target: Target) -> Option<String> {
        let server = self.process_of(target)?;
        let name = &self.pods[self.servers[server].pod as usize].name;
        self.api.pods.contains_key(name).then(|| name.clone())
    }

    /// In words, who does what at the moment.
    pub fn state(&self) -> Vec<String> {
        let alive = self.servers.iter().enumerate().filter(|(_, it)| it.is_alive());
        let line = |(number, it): (usize, &crate::server::Server)| {
            let role = if it.master {
                "master".to_owned()
            } else {
                format!("replica of {}", it.upstream)
            };
            let link = match it.link {
                Link::Idle => "no link",
                Link::Asking(..) => "asking",
                Link::Transfer(_) => "syncing",
                Link::Loading(_) => "loading",
                Link::Up(_) => "linked",
            };
            format!(
                "{} in {} at {}: {role}, {link}, {:?}, id{} offset {} placed {} keys {} G {} serves {}",
                text::run(number),
                self.pods.get(it.pod as usize).map_or("?", |pod| &pod.name),
                it.address,
                it.mood,
                it.id,
                it.offset,
                it.placed,
                it.data.keys(),
                it.guard,
                it.serves
            )
        };
        alive.map(line).collect()
    }
}

/// It is the end of a fault.
fn is_end(action: &Action) -> bool {
    matches!(
        action,
        Action::Resume(_)
            | Action::Heal(_)
            | Action::NodeUp(_)
            | Action::KubeletBack(_)
            | Action::ResumeOperator(_)
            | Action::HealApi(_)
            | Action::ApiBack
            | Action::RollBack(_)
            | Action::Uncordon(_)
            | Action::TakeBack
            | Action::GoOn
    )
}
