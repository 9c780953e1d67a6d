//! What kind of world a seed makes.

use crate::random::Random;
use crate::rules::Rule;
use crate::world::Time;
use redis_operator_core::observed::Policy;
use std::time::Duration;

/// What may go wrong in a run, and so what is demanded of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Changes that somebody planned, one at a time, and no failure: no write may be lost at all.
    Planned,
    /// One failure at a time, and health before the next one: nothing that WAIT acknowledged may be lost.
    Single,
    /// Anything: the invariants hold, and it comes to rest.
    Chaos,
}

/// What kind of world it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is demanded.
    pub class: Class,
    /// Nodes.
    pub nodes: u8,
    /// Operator processes.
    pub operators: u8,
    /// Clients; every second one waits.
    pub clients: u8,
    /// Pods wanted at first.
    pub replicas: u32,
    /// Policy at first.
    pub policy: Policy,
    /// `downAfter` at first.
    pub down_after: Duration,
    /// Data outlives pods.
    pub durable: bool,
    /// By a log.
    pub appendonly: bool,
    /// `replica-priority` by ordinal.
    pub priorities: Vec<u32>,
    /// The usual delay of a message and the longest.
    pub delay: (Time, Time),
    /// How long a full sync takes.
    pub sync_time: Time,
    /// How long loading takes.
    pub load_time: Time,
    /// How long after a full sync the log on disk is the one from before.
    pub rewrite_time: Time,
    /// `repl-backlog-size`, in bytes.
    pub backlog: u64,
    /// `busy-reply-threshold`.
    pub busy_after: Time,
    /// Time between two probes of the watch.
    pub probe_every: Time,
    /// Replicas have to authenticate.
    pub users: bool,
    /// Masters ping.
    pub pings: bool,
    /// Permille of first acknowledgements that come before the master has noticed the end of the transfer.
    pub late_start: u64,
    /// Permille of responses of the API server that get lost.
    pub lost_responses: u64,
    /// Records go through JSON.
    pub json: bool,
    /// Time between two writes of a client.
    pub write_every: Time,
    /// A client connects anew when it is told that it is at the wrong place.
    pub clients_reconnect: bool,
    /// The rule that is taken out.
    pub without: Option<Rule>,
}

impl Settings {
    /// The world of a seed.
    pub fn draw(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let class = match random.below(5) {
            0 => Class::Planned,
            1 | 2 => Class::Single,
            _ => Class::Chaos,
        };
        let replicas = match random.below(20) {
            0 => 1,
            1..=3 => 2,
            4..=15 => 3,
            16 | 17 => 4,
            _ => 5,
        };
        let down_after = random.pick(&[500, 1000, 2000, 2000, 5000]);
        let durable = random.chance(300);
        let usual = random.pick(&[100, 300, 300, 1_000, 5_000]);
        let sync_time = random.pick(&[5_000, 50_000, 300_000, 3_000_000, 8_000_000]);
        Self {
            class,
            // one failure of a node is one failure of an instance
            nodes: if class == Class::Chaos { 3 } else { 5 },
            operators: 2,
            clients: 2,
            replicas,
            policy: if random.chance(500) {
                Policy::Availability
            } else {
                Policy::Durability
            },
            down_after: Duration::from_millis(down_after),
            durable,
            appendonly: durable && random.chance(600),
            priorities: if replicas > 2 && random.chance(100) {
                random.pick(&[vec![100, 0, 100], vec![100, 100, 0], vec![50, 100, 200]])
            } else {
                vec![100]
            },
            delay: (usual, random.pick(&[20_000, 100_000, 300_000])),
            sync_time,
            rewrite_time: sync_time,
            load_time: random.pick(&[1_000, 20_000, sync_time / 2]),
            backlog: random.pick(&[64 << 20, 64 << 20, 2_000, 200]),
            busy_after: (down_after * 500).min(1_000_000),
            probe_every: (down_after * 250).min(500_000),
            users: true,
            pings: true,
            late_start: 300,
            lost_responses: if class == Class::Chaos {
                random.pick(&[0, 0, 20])
            } else {
                0
            },
            json: seed.is_multiple_of(16),
            write_every: random.pick(&[50_000, 150_000, 300_000]),
            clients_reconnect: random.chance(500),
            without: None,
        }
    }

    /// The rule was not taken out.
    pub fn holds(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Servers alone, as the comparison with the real ones needs them.
    pub fn bare() -> Self {
        let mut settings = Self::draw(0);
        settings.class = Class::Chaos;
        (settings.operators, settings.clients, settings.nodes) = (0, 0, 8);
        (settings.users, settings.pings, settings.late_start) = (false, false, 0);
        settings.delay = (50, 60);
        (settings.sync_time, settings.load_time, settings.rewrite_time) = (2_000, 1_000, 0);
        settings.backlog = 1 << 20;
        settings
    }
}
