//! Packets of a pod that are lost.

use crate::fault::Process;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

/// Packets that a pod does not get, or cannot send. They pass again when this is dropped, whatever became of the process.
#[must_use]
pub struct Filter {
    pod: String,
    /// Held open: the pod's network outlives its process.
    network: File,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It vanishes.
    Dropped,
    /// It is answered with a reset, as by a firewall that rejects.
    Reset,
}

impl Filter {
    fn at(process: &Process) -> Result<Self> {
        let network = format!("/proc/{}/ns/net", process.pid);
        Ok(Self {
            pod: process.pod.clone(),
            network: File::open(&network).with_context(|| format!("{} does not run", process.pod))?,
        })
    }

    /// What these pods send to the process does not arrive.
    pub fn from(process: &Process, pods: &[Pod], fate: Fate) -> Result<Self> {
        let fate = match fate {
            Fate::Dropped => "drop",
            Fate::Reset => "meta l4proto tcp reject with tcp reset",
        };
        let filter = Self::at(process)?;
        filter.load("input", &format!("ip saddr {{ {} }} {fate}", addresses(pods)?))?;
        Ok(filter)
    }

    /// These pods cannot open a connection to it; what is open stays so.
    pub fn newcomers(process: &Process, pods: &[Pod]) -> Result<Self> {
        let filter = Self::at(process)?;
        let begins = "tcp flags & (syn | ack) == syn";
        filter.load("input", &format!("ip saddr {{ {} }} {begins} drop", addresses(pods)?))?;
        Ok(filter)
    }

    /// What the process sends to these pods does not arrive.
    pub fn to(process: &Process, pods: &[Pod]) -> Result<Self> {
        let filter = Self::at(process)?;
        filter.load("output", &format!("ip daddr {{ {} }} drop", addresses(pods)?))?;
        Ok(filter)
    }

    /// Nothing arrives but what comes from the pod itself.
    pub fn all(process: &Process) -> Result<Self> {
        let filter = Self::at(process)?;
        filter.load("input", "iifname != \"lo\" drop")?;
        Ok(filter)
    }

    fn load(&self, hook: &str, rule: &str) -> Result<()> {
        let rules = format!("table ip outage {{\nchain c {{ type filter hook {hook} priority 0; {rule}; }}\n}}\n");
        let mut child = self.nft(&["-f", "-"]).stdin(Stdio::piped()).spawn()?;
        child.stdin.take().context("a pipe")?.write_all(rules.as_bytes())?;
        ensure!(child.wait()?.success(), "nft refuses {rules}");
        Ok(())
    }

    fn nft(&self, args: &[&str]) -> Command {
        let network = format!("--net=/proc/{}/fd/{}", std::process::id(), self.network.as_raw_fd());
        let mut command = Command::new("nsenter");
        command.args([&network, "nft"]).args(args);
        command
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        let gone = self.nft(&["delete", "table", "ip", "outage"]).status();
        if !gone.as_ref().is_ok_and(|status| status.success()) {
            eprintln!("the filter of {} stays: {gone:?}", self.pod);
        }
    }
}

fn addresses(pods: &[Pod]) -> Result<String> {
    let all: Result<Vec<_>> = pods
        .iter()
        .map(|pod| {
            let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
            address.with_context(|| format!("pod {} has no address", pod.name_any()))
        })
        .collect();
    Ok(all?.join(", "))
}
