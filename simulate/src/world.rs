//! Everything that there is, and the queue of what happens next.

use crate::check::Ledger;
use crate::clients::Client;
use crate::cluster::api::{self, Api};
use crate::cluster::kubelet::PodState;
use crate::coverage::Coverage;
use crate::event::Event;
use crate::faults::{Fault, Plan};
use crate::message::{Message, Snapshot};
use crate::network::{Conn, Cut};
use crate::operator::Operator;
use crate::random::Random;
use crate::server::{Saved, Server};
use crate::settings::Settings;
use redis_operator_core::observed::Desired;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A moment, in microseconds since the beginning.
pub type Time = u64;

/// Addresses from here on are those of operators; pods have smaller ones.
pub const OPERATOR_ADDRESS: u8 = 200;
/// Addresses of clients.
pub const CLIENT_ADDRESS: u8 = 210;

/// A node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// It has no power.
    pub down: bool,
    /// Its kubelet does nothing and says nothing.
    pub kubelet_silent: bool,
    /// How far its wall clock is off, in microseconds.
    pub clock: i64,
    /// How often it has booted.
    pub boot: u32,
}

#[derive(Debug)]
struct Entry(Time, u64, Event);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Everything that there is.
pub struct World {
    /// Now.
    pub now: Time,
    sequence: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    /// Chance.
    pub random: Random,
    /// What kind of world this is.
    pub settings: Settings,
    /// Connections.
    pub conns: Vec<Conn>,
    /// Cuts.
    pub cuts: Vec<Cut>,
    /// Node of each address that is in use.
    pub addresses: Vec<Option<u8>>,
    /// The highest address given so far.
    pub last_address: u8,
    /// Processes, the ended ones too.
    pub servers: Vec<Server>,
    /// Snapshots that are being loaded.
    pub arriving: BTreeMap<usize, Snapshot>,
    /// The last replication id that was drawn.
    pub ids: u32,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Pods, those that are gone too.
    pub pods: Vec<PodState>,
    /// Volumes by ordinal.
    pub volumes: BTreeMap<u32, Saved>,
    /// Containers so far.
    pub containers: u32,
    /// The API server.
    pub api: Api,
    /// Operators.
    pub operators: Vec<Operator>,
    /// Clients.
    pub clients: Vec<Client>,
    /// What they were told, and what became of it.
    pub ledger: Ledger,
    /// What was seen of the rules.
    pub coverage: Coverage,
    /// What goes wrong.
    pub plan: Plan,
    /// Cuts so far.
    pub cut_number: u32,
    /// Lines are kept.
    pub verbose: bool,
    /// What happened, if lines are kept.
    pub lines: Vec<String>,
    /// What operators said last, so that waiting does not fill the story.
    pub said: Vec<String>,
    /// What somebody heard who typed commands in by hand.
    pub heard: Vec<Message>,
    /// The first thing that must not be.
    pub broken: Option<String>,
    /// The run is over.
    pub over: bool,
    /// Events so far.
    pub events: u64,
}

impl World {
    /// An empty world of these settings.
    pub fn new(seed: u64, settings: Settings, plan: Plan, verbose: bool) -> Self {
        let random = Random::new(seed ^ 0x77);
        let nodes = settings.nodes;
        let desired = Desired::new(
            settings.replicas,
            settings.policy,
            settings.down_after,
            settings.durable,
        );
        Self {
            now: 0,
            sequence: 0,
            queue: BinaryHeap::new(),
            random,
            conns: vec![],
            cuts: vec![],
            addresses: vec![None; 256],
            last_address: 0,
            servers: vec![],
            arriving: BTreeMap::new(),
            ids: 0,
            nodes: vec![Node::default(); usize::from(nodes)],
            pods: vec![],
            volumes: BTreeMap::new(),
            containers: 0,
            api: Api::new(desired, settings.priorities.clone(), nodes),
            operators: vec![],
            clients: vec![],
            ledger: Ledger::default(),
            coverage: Coverage::default(),
            plan,
            cut_number: 0,
            verbose,
            lines: vec![],
            heard: vec![],
            said: vec![String::new(); 2],
            broken: None,
            over: false,
            events: 0,
            settings,
        }
    }

    /// Operators, clients and the cluster begin.
    pub fn populate(&mut self) {
        for number in 0..self.settings.operators {
            let node = (number + 1) % self.settings.nodes;
            self.operators.push(Operator::new(node, OPERATOR_ADDRESS + number));
            let pause = self.random.below(300_000);
            self.schedule(pause, Event::Operator(usize::from(number)));
        }
        for number in 0..self.settings.clients {
            self.clients.push(Client::new(number, self.settings.nodes));
            self.schedule(
                500_000 + u64::from(number) * 7_000,
                Event::Client(usize::from(number), 0),
            );
        }
        for node in 0..self.settings.nodes {
            let pause = self.random.below(10_000_000);
            self.schedule(pause, Event::Renew(node));
        }
        self.schedule(250_000, Event::Look);
        self.begin_plan();
    }

    /// It happens then.
    pub fn schedule(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry(at.max(self.now), self.sequence, event)));
    }

    /// Lets time pass, at most until then, or until it is over.
    pub fn run(&mut self, until: Time) {
        while !self.over && self.broken.is_none() {
            match self.queue.peek() {
                Some(Reverse(entry)) if entry.0 <= until => {}
                _ => break,
            }
            let Some(Reverse(Entry(at, _, event))) = self.queue.pop() else {
                break;
            };
            self.now = at;
            self.events += 1;
            self.handle_event(event);
        }
        if !self.over && self.broken.is_none() {
            self.now = until;
        }
    }

    /// Something happens.
    pub fn handle_event(&mut self, event: Event) {
        match event {
            Event::Deliver(cid, to, message) => self.deliver(cid, to, message),
            Event::Cron(server) => self.cron(server),
            Event::Loaded(server) => self.loaded(server),
            Event::Busy(server) => self.tell_busy(server),
            Event::Sync(server, cid, left, snapshot) => self.sync(server, cid, left, snapshot),
            Event::Unpause(server) => self.pause_is_over(server),
            Event::Waited(server, cid) => self.waited(server, cid),
            Event::AskForAcks(server) => self.ask_for_acks(server),
            Event::Kubelet(pod) => self.kubelet(pod),
            Event::Report(pod) => self.report_pod(pod),
            Event::Liveness(server) => self.liveness(server),
            Event::Stop(server) => {
                self.end(server);
                self.notice_end(server);
            }
            Event::Controller => self.control(),
            Event::Collect(pod) => self.collect(pod),
            Event::Renew(node) => self.renew(node),
            Event::Request(operator, epoch, id, request) => self.requested(operator, epoch, id, *request),
            Event::Late(request) => {
                if self.api.away.is_none() {
                    self.serve(*request);
                }
            }
            Event::Operator(operator) => self.start_operator(operator),
            Event::Client(client, tick) => self.client_due(client, tick),
            Event::Route(client, version, address) => self.route(client, version, address),
            Event::Fault(number, action) => self.inject(number, *action),
            Event::Look => self.look_around(),
            Event::Response(number, epoch, ..)
            | Event::NoResponse(number, epoch, _)
            | Event::Cache(number, epoch, _)
            | Event::Lease(number, epoch)
            | Event::Post(number, epoch, ..)
            | Event::NoReply(number, epoch, _)
            | Event::Wake(number, epoch, _) => match self.reaches_operator(number, epoch) {
                Some(true) => self.operator_event(event),
                Some(false) => self.miss(number, event),
                None => {}
            },
        }
    }

    fn operator_event(&mut self, event: Event) {
        match event {
            Event::Response(number, _, id, response) if !self.operators[number].api_cut => {
                self.responded(number, id, *response);
            }
            Event::NoResponse(number, _, id) => self.responded(number, id, api::Response::Deadline),
            Event::Cache(number, _, change) => self.cached(number, *change),
            Event::Lease(number, epoch) => self.lease_due(number, epoch),
            Event::Post(number, epoch, post, line) => self.post_due(number, epoch, post, line),
            Event::NoReply(number, epoch, call) => self.no_reply(number, epoch, call),
            Event::Wake(number, _, sleep) => self.woken(number, sleep),
            _ => {}
        }
    }

    /// A node has power. Those that are not nodes of the cluster always have.
    pub fn is_up(&self, node: u8) -> bool {
        self.nodes.get(usize::from(node)).is_none_or(|node| !node.down)
    }

    /// The process behind an address.
    pub fn listening(&self, address: u8) -> Option<usize> {
        let at = |server: &Server| server.address == address && server.is_alive();
        let latest = self.servers.iter().rposition(at);
        latest.filter(|server| self.is_up(self.servers[*server].node))
    }

    /// Keeps a line.
    pub fn log(&mut self, line: impl FnOnce() -> String) {
        if self.verbose {
            let (seconds, micros) = (self.now / 1_000_000, self.now % 1_000_000);
            let line = line();
            self.lines.push(format!("{seconds:4}.{micros:06} {line}"));
        }
    }

    /// Something that must not be: the run ends here.
    pub fn violation(&mut self, what: String) {
        self.log(|| format!("VIOLATION: {what}"));
        self.broken.get_or_insert(what);
    }

    /// The fault with this number, if it is one of the plan.
    pub fn fault(&self, number: usize) -> Option<&Fault> {
        self.plan.faults.get(number)
    }
}

/// Names for numbers.
pub mod text {
    use redis_operator_core::names;

    /// Uid of a pod.
    pub fn uid(pod: u32) -> String {
        format!("u{pod}")
    }

    /// Its number.
    pub fn read_uid(uid: &str) -> Option<u32> {
        uid.strip_prefix('u')?.parse().ok()
    }

    /// A run id.
    pub fn run(server: usize) -> String {
        format!("run{server}")
    }

    /// Its number.
    pub fn read_run(run: &str) -> Option<usize> {
        run.strip_prefix("run")?.parse().ok()
    }

    /// A replication id.
    pub fn id(id: u32) -> String {
        format!("id{id}")
    }

    /// An address.
    pub fn address(address: u8) -> String {
        format!("10.0.0.{address}")
    }

    /// Its number.
    pub fn read_address(address: &str) -> Option<u8> {
        address.strip_prefix("10.0.0.")?.parse().ok()
    }

    /// A container id.
    pub fn container(number: u32) -> String {
        format!("c{number}")
    }

    /// A node's name.
    pub fn node(node: u8) -> String {
        format!("node-{node}")
    }

    /// Its number.
    pub fn read_node(node: &str) -> Option<u8> {
        node.strip_prefix("node-")?.parse().ok()
    }

    /// A pod's name.
    pub fn pod(ordinal: u32) -> String {
        names::pod(crate::cluster::api::NAME, ordinal as i32)
    }
}
