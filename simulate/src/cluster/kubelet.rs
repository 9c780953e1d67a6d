//! Kubelets: containers that begin, end and begin again, and what they tell the API server.

use super::objects::{self, Container};
use crate::event::Event;
use crate::server::life::Begin;
use crate::server::{Mood, Saved};
use crate::world::{Time, World, text};
use kube::ResourceExt;

/// A pod and what runs in it.
#[derive(Debug)]
pub struct PodState {
    /// Its number, which makes its uid.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Ordinal.
    pub ordinal: u32,
    /// Node.
    pub node: u8,
    /// Address, once it has one; 0 before.
    pub address: u8,
    /// Its process.
    pub server: Option<usize>,
    /// The object is to be deleted, or gone; the kubelet has to end it.
    pub doomed: bool,
    /// The kubelet is done with it.
    pub over: bool,
    /// What lies in its emptyDir.
    pub disk: Option<Saved>,
    pub(crate) container: Container,
    begins_at: Time,
    stopping: bool,
    patience: Option<Time>,
    first: bool,
}

impl PodState {
    /// A pod that the kubelet will start.
    pub fn new(number: u32, name: String, ordinal: u32, node: u8, begins_at: Time) -> Self {
        Self {
            number,
            name,
            ordinal,
            node,
            address: 0,
            server: None,
            doomed: false,
            over: false,
            disk: None,
            container: Container::default(),
            begins_at,
            stopping: false,
            patience: None,
            first: true,
        }
    }
}

/// The longest that a kubelet stays out of a container's way, here: longer back-offs teach nothing new.
const BACK_OFF: Time = 10_000_000;

impl World {
    /// A kubelet looks after one of its pods, as often as it has reason to.
    pub fn kubelet(&mut self, number: u32) {
        let at = number as usize;
        let pod = &self.pods[at];
        if pod.over || !self.is_up(pod.node) || self.nodes[usize::from(pod.node)].kubelet_silent {
            return;
        }
        if pod.doomed {
            return self.wind_up(at);
        }
        match pod.server {
            Some(server) if self.servers[server].is_alive() => {}
            Some(_) => self.container_ended(at),
            None if self.now >= pod.begins_at => self.start_container(at),
            None => {}
        }
    }

    fn start_container(&mut self, at: usize) {
        // a volume is attached to one pod at a time
        let ordinal = self.pods[at].ordinal;
        let durable = self.api.redis.desired.durable;
        let taken =
            |other: &PodState| other.ordinal == ordinal && other.server.is_some_and(|s| self.servers[s].is_alive());
        if durable && self.pods.iter().any(taken) {
            self.schedule(self.now + 500_000, Event::Kubelet(at as u32));
            return;
        }
        if self.pods[at].address == 0 {
            let (address, node) = (self.free_address(), self.pods[at].node);
            self.pods[at].address = address;
            self.addresses[usize::from(address)] = Some(node);
        }
        if self.pods[at].container.broken {
            return self.report_soon(at);
        }
        self.containers += 1;
        let (node, container) = (self.pods[at].node, self.containers);
        let wall = self.wall(node);
        let pod = &mut self.pods[at];
        if let Some(before) = pod.container.number.replace(container) {
            pod.container.last = Some(before);
        }
        pod.container.running = Some(wall);
        pod.container.backing_off = false;
        pod.container.starts += 1;
        pod.first = false;
        let (address, saved) = (pod.address, if durable { None } else { pod.disk.clone() });
        let saved = if durable {
            self.volumes.get(&ordinal).cloned()
        } else {
            saved
        };
        let begin = Begin {
            pod: at as u32,
            address,
            node,
            container,
            priority: self.settings.priorities[ordinal as usize % self.settings.priorities.len()],
            appendonly: self.settings.appendonly,
        };
        self.addresses[usize::from(address)] = Some(node);
        let server = self.begin(begin, saved);
        self.pods[at].server = Some(server);
        self.log(|| format!("{} starts as {}", text::pod(ordinal), text::run(server)));
        self.report_soon(at);
    }

    /// Its process has ended: a new container, the first one at once.
    fn container_ended(&mut self, at: usize) {
        let Some(server) = self.pods[at].server.take() else {
            return;
        };
        self.keep_disk(at, server);
        let quick = self.pods[at].container.starts <= 1;
        let pause = if quick {
            self.random.between(200_000, 1_200_000)
        } else {
            self.random.between(1_000_000, BACK_OFF)
        };
        let pod = &mut self.pods[at];
        pod.container.running = None;
        pod.container.backing_off = !quick;
        pod.begins_at = self.now + pause;
        self.schedule(self.now + pause, Event::Kubelet(at as u32));
        self.report_soon(at);
    }

    fn keep_disk(&mut self, at: usize, server: usize) {
        let saved = self.servers[server].saved.clone();
        let (ordinal, durable) = (self.pods[at].ordinal, self.api.redis.desired.durable);
        match saved {
            Some(saved) if durable => {
                self.volumes.insert(ordinal, saved);
            }
            saved if !durable => self.pods[at].disk = saved,
            _ => {}
        }
    }

    /// Ends a pod that is to go.
    fn wind_up(&mut self, at: usize) {
        match self.pods[at].server {
            Some(server) if self.servers[server].is_alive() => {
                if self.pods[at].stopping || self.hold_off(at, server) {
                    return;
                }
                self.pods[at].stopping = true;
                let time = match self.servers[server].mood {
                    Mood::Hung => 30_000_000,
                    _ if self.servers[server].master => self.random.between(10_000, 2_000_000),
                    _ => self.random.between(5_000, 50_000),
                };
                self.schedule(self.now + time, Event::Stop(server));
            }
            _ => {
                if let Some(server) = self.pods[at].server.take() {
                    self.keep_disk(at, server);
                    self.pods[at].container.running = None;
                    // sometimes the last status is seen, sometimes the object just goes
                    self.report_soon(at);
                    let pause = self.random.between(50_000, 1_500_000);
                    self.schedule(self.now + pause, Event::Kubelet(at as u32));
                    return;
                }
                self.finish(at);
            }
        }
    }

    /// preStop: a master of others is not told to stop yet, for 10 s at most.
    fn hold_off(&mut self, at: usize, server: usize) -> bool {
        let until = *self.pods[at].patience.get_or_insert(self.now + 10_000_000);
        let it = &self.servers[server];
        let holds = it.is_fine() && it.master && !it.replicas.is_empty() && self.now < until;
        if holds {
            self.schedule(self.now + 100_000, Event::Kubelet(at as u32));
        }
        holds
    }

    fn finish(&mut self, at: usize) {
        if self.api.away.is_some() {
            self.schedule(self.now + 1_000_000, Event::Kubelet(at as u32));
            return;
        }
        self.pods[at].over = true;
        let address = self.pods[at].address;
        if address != 0 {
            self.addresses[usize::from(address)] = None;
        }
        let (name, uid) = (self.pods[at].name.clone(), text::uid(at as u32));
        if self
            .api
            .pods
            .get(&name)
            .is_some_and(|pod| pod.uid().as_deref() == Some(&uid))
        {
            self.remove_pod(&name);
        }
    }

    /// The API server will hear of it.
    pub(crate) fn report_soon(&mut self, at: usize) {
        let slow = if self.random.chance(200) { 1_500_000 } else { 150_000 };
        let pause = self.random.between(10_000, slow);
        self.schedule(self.now + pause, Event::Report(at as u32));
    }

    /// A kubelet writes the status of a pod.
    pub fn report_pod(&mut self, number: u32) {
        let pod = &self.pods[number as usize];
        if pod.over {
            return;
        }
        let reachable = self.is_up(pod.node) && !self.nodes[usize::from(pod.node)].kubelet_silent;
        if !reachable || self.api.away.is_some() {
            if reachable {
                self.schedule(self.now + 1_000_000, Event::Report(number));
            }
            return;
        }
        let Some(object) = self
            .api
            .pods
            .get(&pod.name)
            .filter(|it| it.uid().as_deref() == Some(&text::uid(number)))
        else {
            return;
        };
        let status = Some(objects::status(pod.address, &pod.container));
        if object.status != status {
            let mut object = (**object).clone();
            object.status = status;
            self.put_pod(object);
        }
    }

    /// A process ended: the kubelet notices.
    pub fn notice_end(&mut self, server: usize) {
        let pod = self.servers[server].pod;
        let pause = self.random.between(10_000, 1_000_000);
        self.schedule(self.now + pause, Event::Kubelet(pod));
    }

    /// Three probes in a row without an answer.
    pub fn liveness(&mut self, server: usize) {
        let it = &self.servers[server];
        if it.mood != Mood::Hung || !self.is_up(it.node) || self.nodes[usize::from(it.node)].kubelet_silent {
            return;
        }
        self.log(|| format!("its kubelet ends {}, which hangs", text::run(server)));
        self.end(server);
        self.notice_end(server);
    }

    /// Somebody deletes a pod: the object stays until its kubelet is done.
    pub fn delete_pod(&mut self, name: &str) {
        let Some(object) = self.api.pods.get(name) else { return };
        let Some(number) = object.uid().and_then(|uid| text::read_uid(&uid)) else {
            return;
        };
        if object.metadata.deletion_timestamp.is_none() {
            let mut object = (**object).clone();
            object.metadata.deletion_grace_period_seconds = Some(30);
            let at = jiff::Timestamp::from_microsecond(self.wall(0)).unwrap_or_default();
            object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
            self.put_pod(object);
        }
        self.doom(number, 10_000, 300_000);
    }

    /// Deletes the object at once; its kubelet hears of it and ends what it finds.
    pub fn force_delete(&mut self, name: &str) {
        let Some(number) = self
            .api
            .pods
            .get(name)
            .and_then(|pod| pod.uid())
            .and_then(|uid| text::read_uid(&uid))
        else {
            return;
        };
        self.remove_pod(name);
        self.doom(number, 50_000, 3_000_000);
    }

    fn doom(&mut self, number: u32, from: Time, to: Time) {
        self.pods[number as usize].doomed = true;
        let pause = self.random.between(from, to);
        self.schedule(self.now + pause, Event::Kubelet(number));
    }

    /// An address for a new pod; often one that was just given back.
    fn free_address(&mut self) -> u8 {
        let reuse = self.random.chance(500);
        let free = |address: &u8| self.addresses[usize::from(*address)].is_none();
        if reuse && let Some(address) = (1..=self.last_address).find(free) {
            return address;
        }
        self.last_address += 1;
        self.last_address
    }
}
