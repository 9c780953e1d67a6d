//! What can befall a process of a pod.

use crate::cluster::Local;
use crate::log::{self, Micros};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the kernel may take to end a process.
const END_LIMIT: Duration = Duration::from_secs(10);

/// The first process of a container, as the node sees it. Found beforehand, so that the fault itself takes no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pod, or what else it is.
    pub pod: String,
    /// Its id on this machine.
    pub pid: u32,
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ends it without asking.
    Kill,
    /// Asks it to end.
    Term,
    /// Freezes it: connections are accepted, nothing answers.
    Stop,
    /// Thaws it.
    Continue,
}

impl Process {
    /// The process of a pod's container.
    pub fn of(local: &Local, pod: &Pod, container: &str) -> Result<Self> {
        let name = pod.name_any();
        let status = pod.status.as_ref();
        let mut containers =
            status.and_then(|status| status.container_statuses.iter().flatten().find(|c| c.name == container));
        let id = containers
            .take()
            .and_then(|status| status.container_id.as_deref()?.strip_prefix("containerd://"))
            .with_context(|| format!("container {container} of pod {name} has no id yet"))?;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let socket = local.containerd(node.with_context(|| format!("pod {name} is on no node"))?);
        let pid = task(&socket, id).with_context(|| format!("container {container} of pod {name} does not run"))?;
        Ok(Self { pod: name, pid })
    }

    /// Sends a signal; the moment just before.
    pub fn send(&self, signal: Signal) -> Result<Micros> {
        let name = match signal {
            Signal::Kill => "-KILL",
            Signal::Term => "-TERM",
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        let at = log::now();
        let sent = Command::new("kill").args([name, &self.pid.to_string()]).status()?;
        ensure!(sent.success(), "process {} of {} is gone already", self.pid, self.pod);
        Ok(at)
    }

    /// Ends it and waits until the kernel is done with it: on a busy machine that is later than the signal, and whoever asks
    /// in between whether it runs is told that it does.
    pub fn end(&self) -> Result<Micros> {
        let at = self.send(Signal::Kill)?;
        let limit = Instant::now() + END_LIMIT;
        // what a process that nobody has waited for yet has lost already
        while Path::new(&format!("/proc/{}/ns/net", self.pid)).exists() {
            ensure!(
                Instant::now() < limit,
                "process {} of {} does not end",
                self.pid,
                self.pod
            );
            sleep(Duration::from_millis(5));
        }
        Ok(at)
    }

    /// A component of the cluster.
    pub fn component(local: &Local, node: &str, name: &str) -> Result<Self> {
        let pid = local.component(node, name)?;
        Ok(Self {
            pod: format!("{name} of {node}"),
            pid,
        })
    }
}

/// The pid of a container's task.
fn task(socket: &Path, container: &str) -> Result<u32> {
    let listed = Command::new("ctr")
        .arg("--address")
        .arg(socket)
        .args(["--namespace", "k8s.io", "tasks", "ls"])
        .output()
        .context("ctr cannot be run")?;
    ensure!(
        listed.status.success(),
        "ctr: {}",
        String::from_utf8_lossy(&listed.stderr).trim()
    );
    pid(&String::from_utf8_lossy(&listed.stdout), container).with_context(|| format!("no running task {container}"))
}

/// Reads a line such as `<container>   4711   RUNNING`.
fn pid(listed: &str, container: &str) -> Option<u32> {
    listed.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(container)).then_some(())?;
        let pid = words.next()?.parse().ok()?;
        (words.next() == Some("RUNNING")).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_running_task_has_a_pid() {
        let listed = "TASK   PID    STATUS\nabc    17     STOPPED\nabcd   4711   RUNNING\n";
        assert_eq!(pid(listed, "abcd"), Some(4711));
        assert_eq!(pid(listed, "abc"), None);
        assert_eq!(pid(listed, "x"), None);
    }

    #[test]
    fn who_ends_a_process_waits_for_its_end() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process {
            pod: "p".to_owned(),
            pid: child.id(),
        };
        process.end().unwrap();
        assert!(child.try_wait().unwrap().is_some());
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let mut child = Command::new("true").spawn().unwrap();
        let process = Process {
            pod: "p".to_owned(),
            pid: child.id(),
        };
        child.wait().unwrap();
        assert!(process.send(Signal::Term).is_err());
    }
}
