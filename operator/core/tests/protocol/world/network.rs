//! Replication between processes, and clients that write.

use super::cluster::Pod;
use super::server::{Link, Mood, Server, WRITE};
use super::{World, pod_name};
use redis_operator_core::observed::Moment;
use redis_operator_core::record::Found;
use std::time::Duration;

/// `repl-timeout`.
const REPL_TIMEOUT: Duration = Duration::from_secs(10);

impl World {
    /// Lets replication come as far as it can at once: links break or come up, data arrives. A full sync needs two calls.
    pub fn flow(&mut self) {
        for _ in 0..3 {
            let names: Vec<_> = self.pods.keys().cloned().collect();
            for name in names {
                self.flow_to(&name);
            }
        }
    }

    fn flow_to(&mut self, name: &str) {
        let now = self.now;
        let slow = self.slow_sync.contains(name);
        let Some(replica) = self.pods[name].server.clone() else {
            return;
        };
        if replica.master || replica.follows_nobody() || replica.mood == Mood::Hung {
            return;
        }
        let Some(upstream) = self.upstream_of(name, &replica) else {
            self.server_named(name).unlink(now);
            return;
        };
        let master = self.server_named(&upstream);
        if master.master && !master.backlog {
            let id = format!("id-{}", self.draw());
            let master = self.server_named(&upstream);
            (master.id, master.id2, master.forked_at) = (id, None, None);
            master.backlog = true;
        }
        let master = self.server_named(&upstream).clone();
        let stalled = replica.stalled;
        let reached = master.mood != Mood::Hung && self.is_reached(name, &upstream);
        let linked = !matches!(replica.link, Link::Down(_));
        let heard = linked && reached && stalled.is_none();
        if linked && !heard && now.since(replica.heard) >= REPL_TIMEOUT {
            self.server_named(name).unlink(now);
            return;
        }
        let replica = self.server_named(name);
        if heard || !linked {
            replica.heard = now;
        }
        match replica.link.clone() {
            Link::Up(run) if run == master.run => {
                if reached && replica.stalled.is_none() {
                    arrive(replica, &master, now);
                }
            }
            Link::Syncing(run) if run == master.run => {
                if reached && !slow && replica.stalled.is_none() {
                    replica.link = Link::Up(run);
                    replica.backlog = true;
                    copy(replica, &master);
                    (replica.id2, replica.forked_at) = (None, None);
                }
            }
            Link::Up(_) | Link::Syncing(_) => replica.unlink(now),
            Link::Down(_) if !reached || stalled.is_some() => {}
            Link::Down(_) if continues(replica, &master) => {
                replica.link = Link::Up(master.run.clone());
                if replica.id != master.id {
                    replica.id2 = Some(replica.id.clone());
                    replica.forked_at = Some(replica.offset);
                    replica.id.clone_from(&master.id);
                }
                replica.backlog = true;
                if replica.stalled.is_none() {
                    copy(replica, &master);
                }
            }
            Link::Down(_) => {
                replica.placed = false;
                replica.link = Link::Syncing(master.run.clone());
            }
        }
    }

    /// Neither of the two is cut off from everybody.
    fn is_reached(&self, a: &str, b: &str) -> bool {
        !self.isolated.contains(a) && !self.isolated.contains(b)
    }

    /// The pod from whose process a replica can feed now: reachable, a master or itself linked, and with its user.
    fn upstream_of(&self, name: &str, replica: &Server) -> Option<String> {
        let pod = self.pods.values().find(|pod| pod.address == replica.host)?;
        let server = pod.server.as_ref()?;
        let cut = self.cut.contains(&(name.to_owned(), pod.name.clone()));
        let feeds = server.master || server.is_linked();
        let usable = !cut && feeds && server.mood != Mood::Loading && server.users.contains(&replica.attaches_as);
        let usable = usable && !replica.wrong_password;
        usable.then(|| pod.name.clone())
    }

    fn server_named(&mut self, name: &str) -> &mut Server {
        self.pods.get_mut(name).unwrap().server.as_mut().unwrap()
    }

    /// A client writes to an instance; false if it is refused.
    pub fn write_to(&mut self, ordinal: u32) -> bool {
        self.flow();
        let name = pod_name(ordinal);
        let linked = self.linked_to(&name, 0);
        let n = u32::try_from(self.draw()).unwrap();
        let now = self.now;
        let server = self.server_mut(ordinal);
        let paused = server
            .paused
            .is_some_and(|since| now.since(since) < Duration::from_secs(3));
        if paused || !server.master || server.mood != Mood::Fine || linked < server.guard {
            return false;
        }
        server.data.push(n);
        server.offset += WRITE;
        self.flow();
        let quorum = match self.found() {
            Found::Record(record) => record.quorum,
            Found::Absent | Found::Newer(_) | Found::Nonsense(_) => 0,
        };
        let offset = self.server(ordinal).offset;
        if quorum > 0 && self.linked_to(&name, offset) >= quorum {
            self.waited.push(n);
        }
        true
    }

    /// How many replicas are attached and have acknowledged an offset.
    pub(super) fn linked_to(&self, here: &str, offset: u64) -> u32 {
        let Some(server) = &self.pods[here].server else {
            return 0;
        };
        let (run, lag) = (&server.run, u64::from(server.guard_lag));
        // a replica that is cut off counts for the guard until it is late
        let counts = |pod: &Pod, s: &Server| {
            let late = self.now.since(s.heard) > Duration::from_secs(lag + 2);
            self.is_reached(&pod.name, here) || (offset == 0 && !late)
        };
        let linked = self.pods.values().filter(|pod| {
            pod.server.as_ref().is_some_and(|s| {
                let up = matches!(&s.link, Link::Up(to) if to == run) && s.mood == Mood::Fine;
                up && s.offset >= offset && counts(pod, s)
            })
        });
        u32::try_from(linked.count()).unwrap()
    }
}

fn copy(replica: &mut Server, master: &Server) {
    replica.data.clone_from(&master.data);
    (replica.id, replica.offset, replica.placed) = (master.id.clone(), master.offset, true);
}

/// What the master has, at once or as of the last time.
fn arrive(replica: &mut Server, master: &Server, now: Moment) {
    match replica.late.take() {
        None => copy(replica, master),
        Some((sent, data, offset)) if sent < now => {
            (replica.data, replica.offset) = (data, offset);
            replica.late = Some((now, master.data.clone(), master.offset));
        }
        same => replica.late = same,
    }
}

/// A partial resync is granted.
fn continues(replica: &Server, master: &Server) -> bool {
    let current = replica.id == master.id && replica.offset <= master.offset;
    let before = master.id2.as_ref() == Some(&replica.id) && master.forked_at.is_some_and(|at| replica.offset <= at);
    replica.placed && (current || before)
}

/// The moment before everything.
pub const BEGINNING: Moment = Moment(1_000_000_000);
