//! A pod: one redis-server process at an address of its own, and what the kubelet says of it.

use crate::support::{PATIENCE, free_address, spawn};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The port of every instance.
pub(crate) const PORT: u16 = 6379;

/// The files that are mounted into every pod.
pub(crate) struct Files {
    pub(crate) redis_conf: String,
    pub(crate) auth_conf: String,
}

/// A pod. Its process ends and its directory goes when it is dropped.
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) ip: IpAddr,
    pub(crate) deleting: bool,
    dir: PathBuf,
    child: Option<Child>,
    /// As the kubelet reports them: the container that runs, by its number and its start; the one that ended last.
    running: Option<(u32, Timestamp)>,
    terminated: Option<u32>,
    starts: u32,
}

impl Pod {
    pub(crate) fn new(name: String, uid: String) -> Self {
        let ip = free_address();
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("failover-{ip}"));
        // Left behind by a run that was killed.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("data")).unwrap();
        Self {
            name,
            uid,
            ip,
            deleting: false,
            dir,
            child: None,
            running: None,
            terminated: None,
            starts: 0,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, PORT)
    }

    /// A new process on what the disk holds; the kubelet says so. Returns once it listens.
    pub(crate) fn start(&mut self, files: &Files, more: &str) {
        assert!(self.child.is_none(), "{} runs", self.name);
        self.notice_end();
        let (dir, ip) = (self.dir.display(), self.ip);
        let moved = files
            .redis_conf
            .replace("/etc/redis-auth", &dir.to_string())
            .replace("dir /data", &format!("dir {dir}/data"));
        let text = format!("{moved}bind {ip}\nbind-source-addr {ip}\nlogfile {dir}/log\n{more}\n");
        fs::write(self.dir.join("redis.conf"), text).unwrap();
        fs::write(self.dir.join("auth.conf"), &files.auth_conf).unwrap();
        self.child = Some(spawn(&self.dir.join("redis.conf")));
        self.running = Some((self.starts, Timestamp::now()));
        self.starts += 1;
        let begun = Instant::now();
        while std::net::TcpStream::connect(self.address()).is_err() {
            let said = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "does not listen: {}", said());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// SIGKILL. The kubelet has not noticed yet.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The kubelet has noticed that the container ended.
    pub(crate) fn notice_end(&mut self) {
        if let Some((number, _)) = self.running.take() {
            self.terminated = Some(number);
        }
    }

    /// What was on its volume is lost.
    pub(crate) fn lose_data(&self) {
        fs::remove_dir_all(self.dir.join("data")).unwrap();
        fs::create_dir_all(self.dir.join("data")).unwrap();
    }

    /// SIGSTOP: it hangs from now on.
    pub(crate) fn stop(&self) {
        signal(self.pid(), "STOP");
        let state = format!("/proc/{}/stat", self.pid());
        crate::support::wait("the process to stop", || {
            fs::read_to_string(&state).is_ok_and(|stat| stat.contains(") T "))
        });
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        signal(self.pid(), "CONT");
    }

    /// SIGSTOP now, SIGCONT after that time.
    pub(crate) fn resume_after(&self, time: Duration) -> JoinHandle<()> {
        self.stop();
        let pid = self.pid();
        std::thread::spawn(move || {
            std::thread::sleep(time);
            signal(pid, "CONT");
        })
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The pod as the API server shows it, with these labels.
    pub(crate) fn object(&self, labels: &Value) -> Value {
        let id = |number: u32| format!("containerd://{}-{number}", self.uid);
        let state = match self.running {
            Some((_, at)) => json!({"running": {"startedAt": at}}),
            None => json!({"waiting": {"reason": "ContainerCreating"}}),
        };
        let last = self.terminated.map_or_else(
            || json!({}),
            |number| json!({"terminated": {"containerID": id(number), "exitCode": 137}}),
        );
        let container = self.running.map(|(number, _)| number).or(self.terminated).map(id);
        let mut metadata = json!({"name": self.name, "namespace": "test", "uid": self.uid, "labels": labels});
        if self.deleting {
            metadata["deletionTimestamp"] = json!(Timestamp::now());
        }
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"containers": [], "nodeName": format!("node-of-{}", self.name)},
            "status": {"podIP": self.ip, "containerStatuses": [{
                "name": "redis", "image": "redis", "imageID": "", "ready": false, "restartCount": self.starts.saturating_sub(1),
                "containerID": container, "state": state, "lastState": last,
            }]},
        })
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(status.unwrap().success(), "kill -s {name} {pid}");
}
