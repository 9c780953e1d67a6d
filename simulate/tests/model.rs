//! The simulated redis against the real one: the same random commands to both, and the same state after each.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::too_many_lines,
    missing_docs,
    reason = "a test"
)]

#[path = "../../operator/tests/support/mod.rs"]
mod support;

use redis_operator_core::replication::{NOWHERE, Replication, Role};
use simulate::faults::Plan;
use simulate::message::{Message, Said, Verb};
use simulate::random::Random;
use simulate::server::life::Begin;
use simulate::settings::Settings;
use simulate::world::{World, text};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};
use support::{Client, PATIENCE, PORT, Server, ServerOptions};

const SERVERS: usize = 3;
const STEPS: usize = 25;
/// Seconds after its start in which a server pings its replicas for the first time, whatever `repl-ping-replica-period` says:
/// at once, or up to a second later if it read its log on a busy machine (`whileBlockedCron` counts as well).
const PINGED: u64 = 2;

/// What a step does, by number of the server.
#[derive(Clone, Copy, Debug)]
enum Command {
    Follow(usize, usize),
    Freeze(usize),
    Promote(usize),
    Write(usize),
    Wait(usize, u32),
    DropLinks(usize),
    Guard(usize, u32),
    Save(usize),
    Restart(usize, bool),
}

fn draw(random: &mut Random) -> Command {
    let (one, other) = (random.below(3) as usize, random.below(2) as usize);
    match random.below(20) {
        0..=4 => Command::Follow(one, (one + 1 + other) % SERVERS),
        5 | 6 => Command::Freeze(one),
        7..=9 => Command::Promote(one),
        10..=12 => Command::Write(one),
        13 => Command::Wait(one, random.below(3) as u32),
        14 | 15 => Command::DropLinks(one),
        16 => Command::Guard(one, random.below(3) as u32),
        17 => Command::Save(one),
        _ => Command::Restart(one, random.chance(700)),
    }
}

/// What of a state is comparable: ids are compared by their pattern, offsets exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    master: bool,
    upstream: Option<usize>,
    link_up: bool,
    syncing: bool,
    placed: bool,
    offset: u64,
    forked_at: Option<u64>,
    online: u32,
    keys: u64,
    loading: bool,
    never_linked: bool,
}

fn shape(it: &Replication, place: impl Fn(&str) -> usize) -> Shape {
    let upstream = it.upstream.as_ref();
    Shape {
        master: it.role == Role::Master,
        upstream: upstream.filter(|up| up.host != NOWHERE.0).map(|up| place(&up.host)),
        link_up: upstream.is_some_and(|up| up.link_up),
        syncing: upstream.is_some_and(|up| up.syncing),
        placed: it.placed,
        offset: it.offset,
        forked_at: it.forked_at,
        online: it.online,
        keys: it.keys,
        loading: it.loading,
        never_linked: upstream.is_some_and(|up| !up.link_up && up.down_seconds.is_none()),
    }
}

/// Ids of both worlds that mean the same.
#[derive(Clone, Default)]
struct Ids(BTreeMap<String, String>, BTreeMap<String, String>);

impl Ids {
    fn agree(&mut self, real: &str, model: &str) -> bool {
        let there = self.0.entry(real.to_owned()).or_insert_with(|| model.to_owned()) == model;
        let back = self.1.entry(model.to_owned()).or_insert_with(|| real.to_owned()) == real;
        there && back
    }

    fn agree_if_any(&mut self, real: Option<&String>, model: Option<&String>) -> bool {
        match (real, model) {
            (Some(real), Some(model)) => self.agree(real, model),
            (None, None) => true,
            _ => false,
        }
    }
}

struct Both {
    real: Vec<Server>,
    clients: Vec<Client>,
    options: ServerOptions,
    model: World,
    numbers: Vec<usize>,
    ids: Ids,
    appendonly: bool,
    writes: u32,
    history: Vec<String>,
}

impl Both {
    fn start(seed: u64, appendonly: bool) -> Self {
        // every second alone, a write may stay in the process for two while the disk is busy, and ends with it
        let aof = if appendonly {
            "appendonly yes\nappendfsync always\n"
        } else {
            ""
        };
        let options = ServerOptions {
            lines: format!("repl-ping-replica-period 3600\n{aof}"),
            ..ServerOptions::default()
        };
        let real: Vec<_> = (0..SERVERS).map(|_| Server::start(&options)).collect();
        let mut model = World::new(seed, Settings::bare(), Plan::default(), false);
        let numbers = (0..SERVERS).map(|n| begin(&mut model, n, appendonly, None)).collect();
        Self {
            clients: real.iter().map(Server::client).collect(),
            real,
            options,
            model,
            numbers,
            ids: Ids::default(),
            appendonly,
            writes: 0,
            history: vec![],
        }
    }

    fn run(&mut self, command: Command) {
        self.history.push(format!("{command:?}"));
        match command {
            Command::Follow(one, other) => {
                let host = self.real[other].host();
                let login = support::operator();
                self.say(
                    one,
                    &[
                        "CONFIG",
                        "SET",
                        "masteruser",
                        &login.user,
                        "masterauth",
                        &login.password,
                    ],
                );
                self.say(one, &["REPLICAOF", &host, &PORT.to_string()]);
                self.verb(one, Verb::Follow(address(other), 0));
            }
            Command::Freeze(one) => {
                self.say(one, &["MULTI"]);
                self.say(one, &["REPLICAOF", "127.0.0.1", "1"]);
                self.say(one, &["INFO"]);
                self.say(one, &["EXEC"]);
                self.verb(one, Verb::Freeze);
            }
            Command::Promote(one) => {
                self.say(one, &["REPLICAOF", "NO", "ONE"]);
                self.say(
                    one,
                    &[
                        "CONFIG",
                        "SET",
                        "min-replicas-to-write",
                        "0",
                        "replica-serve-stale-data",
                        "yes",
                    ],
                );
                let number = self.numbers[one];
                self.model.unfollow(number);
                self.verb(one, Verb::Guard(0, 1));
                self.verb(one, Verb::Serve(true));
            }
            Command::Write(one) => self.write(one),
            Command::Wait(one, need) => {
                // in the model everybody has acknowledged by now
                let client = &mut self.clients[one];
                support::wait("acknowledgements", || {
                    let info = client.call(&["INFO", "replication"]);
                    let field = |name: &str| {
                        info.lines()
                            .find_map(|line| line.trim().strip_prefix(name))
                            .map(str::to_owned)
                    };
                    let offset = field("master_repl_offset:").unwrap();
                    let replicas = info
                        .lines()
                        .filter(|line| line.starts_with("slave") && line.contains("state=online"));
                    let mut offsets =
                        replicas.map(|line| line.split(',').find_map(|part| part.strip_prefix("offset=")));
                    offsets.all(|acknowledged| acknowledged == Some(&offset))
                });
                let real = self.say(one, &["WAIT", &need.to_string(), "3000"]);
                let model = self.ask_model(one, Message::Wait(need, 3_000_000));
                let same = match model {
                    Said::Acknowledged(have) => real == have.to_string(),
                    _ => real.starts_with('-'),
                };
                assert!(same, "WAIT: {real} and {model:?}{}", self.story());
            }
            Command::DropLinks(one) => {
                self.say(one, &["CLIENT", "KILL", "TYPE", "replica"]);
                let number = self.numbers[one];
                let replicas: Vec<_> = self.model.servers[number].replicas.iter().map(|it| it.cid).collect();
                for cid in replicas {
                    self.model.drop_replica(number, cid);
                }
            }
            Command::Guard(one, n) => {
                self.say(
                    one,
                    &[
                        "CONFIG",
                        "SET",
                        "min-replicas-to-write",
                        &n.to_string(),
                        "min-replicas-max-lag",
                        "10",
                    ],
                );
                self.verb(one, Verb::Guard(n, 10));
            }
            Command::Save(one) => {
                if !self.appendonly {
                    self.say(one, &["SAVE"]);
                    let number = self.numbers[one];
                    self.model.save(number);
                }
            }
            Command::Restart(one, keep) => self.restart(one, keep),
        }
        self.settle();
    }

    fn write(&mut self, one: usize) {
        self.writes += 1;
        let n = self.writes;
        let real = self.real[one].guest().call(&["SET", &format!("k{n:06}"), "v"]);
        let model = self.ask_model(one, Message::Set(n));
        let same = match model {
            Said::Ok => real == "OK",
            Said::NotMaster => real.starts_with("-READONLY"),
            Said::Refused => real.starts_with("-NOREPLICAS"),
            Said::Acknowledged(_) => false,
        };
        assert!(same, "SET: {real} and {model:?}{}", self.story());
    }

    fn restart(&mut self, one: usize, keep: bool) {
        if self.appendonly {
            // a rewrite that a full sync began is not on the disk yet
            support::wait("the log to be rewritten", || !self.clients[one].rewrites_its_log());
        }
        self.real[one].kill();
        let number = self.numbers[one];
        self.model.end(number);
        let saved = self.model.servers[number].saved.clone().filter(|_| keep);
        if keep {
            self.real[one].restart(&self.options);
        } else {
            self.real[one].lose_files();
            self.real[one].restart(&self.options);
        }
        self.clients[one] = self.real[one].client();
        if self.appendonly {
            let client = &mut self.clients[one];
            support::wait("its first ping to be over", || uptime(client) >= PINGED);
        }
        self.numbers[one] = begin(&mut self.model, one, self.appendonly, saved);
    }

    fn say(&mut self, one: usize, words: &[&str]) -> String {
        self.clients[one].call(words)
    }

    fn verb(&mut self, one: usize, verb: Verb) {
        let number = self.numbers[one];
        let _ = self.model.run_verb(number, None, verb);
    }

    fn ask_model(&mut self, one: usize, message: Message) -> Said {
        let now = self.model.now;
        self.model.type_in(address(one), message);
        self.model.run(now + 4_000_000);
        match self.model.heard.pop() {
            Some(Message::Said(said)) => said,
            other => panic!("the model said {other:?}{}", self.story()),
        }
    }

    /// Both come to rest, in the same state.
    fn settle(&mut self) {
        let until = self.model.now + 8_000_000;
        self.model.run(until);
        let begun = Instant::now();
        loop {
            let difference = self.compare();
            let Some(difference) = difference else { return };
            assert!(begun.elapsed() < PATIENCE, "{difference}{}", self.story());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn compare(&mut self) -> Option<String> {
        let hosts: Vec<_> = self.real.iter().map(Server::host).collect();
        let mut ids = self.ids.clone();
        for n in 0..SERVERS {
            let info = self.clients[n].call(&["INFO", "everything"]);
            let real = match Replication::parse(&info) {
                Ok(real) => real,
                Err(error) => return Some(format!("{error}")),
            };
            let model = self.model.answer(self.numbers[n], Default::default()).replication;
            let real_shape = shape(&real, |host| hosts.iter().position(|other| other == host).unwrap_or(9));
            let model_shape = shape(&model, |host| {
                usize::from(text::read_address(host).unwrap_or_default()) - 1
            });
            if real_shape != model_shape {
                return Some(format!("server {n}: real {real_shape:?}\n       model {model_shape:?}"));
            }
            if !ids.agree(&real.id, &model.id) || !ids.agree_if_any(real.id2.as_ref(), model.id2.as_ref()) {
                return Some(format!(
                    "server {n}: real {} {:?}, model {} {:?}",
                    real.id, real.id2, model.id, model.id2
                ));
            }
        }
        self.ids = ids;
        None
    }

    fn story(&self) -> String {
        format!("\nafter {}", self.history.join(", "))
    }
}

fn uptime(client: &mut Client) -> u64 {
    let info = client.call(&["INFO", "server"]);
    let line = info
        .lines()
        .find_map(|line| line.trim().strip_prefix("uptime_in_seconds:"));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn address(n: usize) -> u8 {
    n as u8 + 1
}

fn begin(model: &mut World, n: usize, appendonly: bool, saved: Option<simulate::server::Saved>) -> usize {
    model.addresses[usize::from(address(n))] = Some(n as u8);
    let begin = Begin {
        pod: n as u32,
        address: address(n),
        node: n as u8,
        container: 0,
        priority: 100,
        appendonly,
    };
    model.begin(begin, saved)
}

fn sequence(seed: u64, appendonly: bool) {
    let mut both = Both::start(seed, appendonly);
    let mut random = Random::new(seed);
    for command in [
        Command::Promote(0),
        Command::Follow(1, 0),
        Command::Write(0),
        Command::Follow(2, 0),
    ] {
        both.run(command);
    }
    for _ in 0..STEPS {
        both.run(draw(&mut random));
    }
}

#[test]
fn the_model_does_what_redis_does() {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|seed| scope.spawn(move || sequence(seed, false))).collect();
        for one in all {
            one.join().unwrap();
        }
    });
}

#[test]
fn the_model_restarts_from_a_log_as_redis_does() {
    std::thread::scope(|scope| {
        let all: Vec<_> = (100..104)
            .map(|seed| scope.spawn(move || sequence(seed, true)))
            .collect();
        for one in all {
            one.join().unwrap();
        }
    });
}
