//! Pods and what happens to them: kubelet, StatefulSet, faults.

use super::server::{Link, Mood, Saved, Server};
use super::{Disk, World};
use redis_operator_core::decide::View;
use redis_operator_core::observed::{Departed, Moment};
use redis_operator_core::record::Found;
use std::collections::BTreeSet;
use std::time::Duration;

/// A pod, its container and the process in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub version: u64,
    pub ordinal: u32,
    pub node: String,
    pub address: String,
    pub label: Option<String>,
    pub deleting: bool,
    pub container: Option<String>,
    pub started_micros: Option<i64>,
    pub terminated: BTreeSet<String>,
    pub waiting: Option<String>,
    pub restarts: u32,
    pub server: Option<Server>,
    /// Kubelet says nothing about it any more, and nobody reaches its node.
    pub node_lost: bool,
    /// The object was deleted by force; the process lives on, and nobody sees it.
    pub object_gone: bool,
    /// The number of the spec that it was made for.
    pub spec: u32,
    pub evacuating: Option<String>,
    /// The priority that the spec gives it, if that is known.
    pub priority: Option<u32>,
}

/// The name of a pod by its ordinal.
pub fn pod_name(ordinal: u32) -> String {
    format!("redis-a-{ordinal}")
}

impl World {
    /// Runs as many pods as the StatefulSet wants: those of the spec, and those above that the record still names.
    pub fn stateful_set(&mut self) {
        self.set_holder = Some(self.operator.holder.clone());
        let named = match self.found() {
            Found::Record(record) => record
                .processes()
                .filter_map(|process| self.pods.get(&process.pod).map(|pod| pod.ordinal + 1))
                .max()
                .unwrap_or(0),
            Found::Absent | Found::Newer(_) | Found::Nonsense(_) => u32::try_from(self.pods.len()).unwrap(),
        };
        let seen = self.observe();
        let wanted = match &seen.record {
            Found::Record(record) => View::new(&seen, record).wanted(),
            Found::Absent | Found::Newer(_) | Found::Nonsense(_) => self.desired.replicas,
        };
        let wanted = wanted.max(named);
        for ordinal in 0..wanted {
            if !self.pods.contains_key(&pod_name(ordinal)) && !self.pending.contains(&ordinal) {
                self.create(ordinal);
            }
        }
        let surplus: Vec<_> = self.pods.values().filter(|pod| pod.ordinal >= wanted).collect();
        let surplus: Vec<_> = surplus.into_iter().map(|pod| pod.ordinal).collect();
        for ordinal in surplus {
            self.vanish(ordinal);
        }
    }

    /// The spec gives a pod this priority, now and whenever it is made anew.
    pub fn prefer(&mut self, ordinal: u32, priority: u32) {
        self.priorities.insert(ordinal, priority);
        if let Some(pod) = self.pods.get_mut(&pod_name(ordinal)) {
            pod.priority = Some(priority);
        }
    }

    /// A new pod with a running container.
    pub fn create(&mut self, ordinal: u32) {
        let n = self.draw();
        let pod = Pod {
            name: pod_name(ordinal),
            uid: format!("uid-{ordinal}-{n}"),
            version: 1,
            ordinal,
            node: format!("node-{}", ordinal % 3),
            address: format!("10.0.0.{n}"),
            label: None,
            deleting: false,
            container: None,
            started_micros: None,
            terminated: BTreeSet::new(),
            waiting: None,
            restarts: 0,
            server: None,
            node_lost: false,
            object_gone: false,
            spec: self.spec,
            evacuating: None,
            priority: self.priorities.get(&ordinal).copied(),
        };
        if self.disk == Disk::Memory {
            self.disks.remove(&ordinal);
        }
        let starts = !self.broken.contains(&pod.spec);
        self.pods.insert(pod.name.clone(), pod);
        if starts {
            self.start(ordinal);
        }
    }

    /// Kubelet starts the container: a new process with what the disk holds.
    pub fn start(&mut self, ordinal: u32) {
        let n = self.draw();
        let started = i64::try_from(self.now.0).unwrap();
        let saved = self.disks.get(&ordinal).cloned();
        let mut server = Server::start(
            &format!("run-{ordinal}-{n}"),
            format!("id-{n}"),
            started,
            saved.as_ref(),
        );
        server.appendonly = self.disk == Disk::Aof;
        let pod = self.pod_mut(ordinal);
        if let Some(before) = pod.container.replace(format!("container-{n}")) {
            pod.restarts += 1;
            pod.terminated = BTreeSet::from([before]);
        }
        pod.started_micros = Some(started);
        pod.server = Some(server);
        pod.waiting = None;
        pod.version += 1;
    }

    /// SIGKILL; kubelet notices.
    pub fn kill(&mut self, ordinal: u32) {
        self.kill_unnoticed(ordinal);
        let pod = self.pod_mut(ordinal);
        pod.terminated.extend(pod.container.clone());
        pod.started_micros = None;
    }

    /// SIGKILL; the pod's status does not say so yet.
    pub fn kill_unnoticed(&mut self, ordinal: u32) {
        let disk = self.disk;
        let pod = self.pod_mut(ordinal);
        pod.version += 1;
        let Some(server) = pod.server.take() else { return };
        let place = (disk == Disk::Rdb && (server.master || server.placed)).then(|| (server.id.clone(), server.offset));
        let data = server.data;
        if disk != Disk::Memory && !server.rewriting {
            self.disks.insert(ordinal, Saved { data, place });
        }
        self.flow();
    }

    /// SIGKILL, and kubelet starts it again at once.
    pub fn restart(&mut self, ordinal: u32) {
        self.kill(ordinal);
        self.start(ordinal);
    }

    /// The node is lost: its pod stays listed and nothing answers.
    pub fn lose_node(&mut self, ordinal: u32) {
        self.kill_unnoticed(ordinal);
        self.pod_mut(ordinal).node_lost = true;
    }

    /// `kubectl delete pod`: it goes on until its grace is over.
    pub fn delete(&mut self, ordinal: u32) {
        let pod = self.pod_mut(ordinal);
        pod.deleting = true;
        pod.version += 1;
    }

    /// The process ends in order and the object goes.
    pub fn vanish(&mut self, ordinal: u32) {
        self.kill(ordinal);
        let pod = self.pods.remove(&pod_name(ordinal)).unwrap();
        let departed = Departed {
            noticed: self.now,
            terminated: pod.terminated,
            ..Departed::default()
        };
        if self.slice.as_ref().and_then(|slice| slice.target.as_ref()) == Some(&pod.uid) {
            (self.slice, self.slice_version) = (None, self.slice_version + 1);
        }
        self.departed.insert(pod.uid, departed);
    }

    /// The object goes by force and nothing is known of the process, which in truth has ended.
    pub fn vanish_unproved(&mut self, ordinal: u32) {
        let uid = self.pod(ordinal).uid.clone();
        self.vanish(ordinal);
        let noticed = self.now;
        self.departed.insert(
            uid,
            Departed {
                noticed,
                ..Departed::default()
            },
        );
    }

    /// The object goes by force, and the process lives on.
    pub fn forget_object(&mut self, ordinal: u32) {
        let noticed = self.now;
        let pod = self.pod_mut(ordinal);
        pod.object_gone = true;
        pod.label = None;
        let uid = pod.uid.clone();
        (self.slice, self.slice_version) = (None, self.slice_version + 1);
        let departed = Departed {
            noticed,
            ..Departed::default()
        };
        self.departed.insert(uid, departed);
    }

    /// Kubelets have outlived every pod that is gone.
    pub fn outlive(&mut self) {
        self.pods.retain(|_, pod| !pod.object_gone);
        for departed in self.departed.values_mut() {
            departed.outlived = Some(Duration::from_secs(60));
        }
    }

    pub fn pod(&self, ordinal: u32) -> &Pod {
        &self.pods[&pod_name(ordinal)]
    }

    pub fn pod_mut(&mut self, ordinal: u32) -> &mut Pod {
        self.pods.get_mut(&pod_name(ordinal)).unwrap()
    }

    pub fn server(&self, ordinal: u32) -> &Server {
        self.pod(ordinal).server.as_ref().expect("it runs")
    }

    pub fn server_mut(&mut self, ordinal: u32) -> &mut Server {
        self.pod_mut(ordinal).server.as_mut().expect("it runs")
    }

    pub fn mood(&mut self, ordinal: u32, mood: Mood) {
        self.server_mut(ordinal).mood = mood;
    }

    /// Nothing reaches a replica any more, yet its link stays up for a while.
    pub fn stall(&mut self, ordinal: u32) {
        self.server_mut(ordinal).stalled = Some(self.now);
    }

    /// Somebody sends REPLICAOF NO ONE by hand.
    pub fn promote_by_hand(&mut self, ordinal: u32) {
        let id = format!("id-{}", self.draw());
        let name = pod_name(ordinal);
        self.hang_up_on(&name);
        let server = self.server_mut(ordinal);
        let (guard, serves) = (server.guard, server.serves);
        server.promote(id, []);
        (server.guard, server.serves) = (guard, serves);
    }

    /// Somebody sends REPLICAOF by hand.
    pub fn follow_by_hand(&mut self, ordinal: u32, master: u32) {
        let (now, address) = (self.now, self.pod(master).address.clone());
        self.hang_up_on(&pod_name(ordinal));
        self.server_mut(ordinal).follow(&address, now);
    }

    /// The replicas of an instance lose their links.
    pub fn hang_up_on(&mut self, name: &str) {
        let Some(run) = self.pods[name].server.as_ref().map(|server| server.run.clone()) else {
            return;
        };
        let now = self.now;
        for server in self.pods.values_mut().filter_map(|pod| pod.server.as_mut()) {
            if matches!(&server.link, Link::Up(to) | Link::Syncing(to) if *to == run) {
                server.unlink(now);
            }
        }
    }

    /// Time passes.
    pub fn tick(&mut self, time: Duration) {
        self.now = Moment(self.now.0 + u64::try_from(time.as_micros()).unwrap());
    }
}
