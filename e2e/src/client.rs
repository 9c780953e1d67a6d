//! A checking client as a process on a node, from outside.

use crate::cluster::Cluster;
use crate::history::History;
use crate::load::Load;
use crate::log::{self, Attempt, Micros};
use crate::program::program;
use anyhow::{Context, Result, bail, ensure};
use std::env;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a client's log is looked at while somebody waits for it.
const LOOK: Duration = Duration::from_millis(10);
/// How long a client may take to end: one write and its WAIT.
const END_LIMIT: Duration = Duration::from_secs(5);

/// What a client does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Appends to the list, and waits for this many replicas after each write.
    Write {
        /// How many; none to go on at once.
        wait: Option<u32>,
    },
    /// Reads the list's length.
    Read,
    /// Overwrites much data.
    Stream(Load),
}

/// Where a client runs and what it does.
#[derive(Clone, Debug)]
pub struct Order {
    /// The node in whose network it runs, of the local cluster; on another one it runs in the network of the tests.
    pub node: String,
    /// The Service's address and port.
    pub address: String,
    /// The list.
    pub key: String,
    /// What it does with it.
    pub does: Does,
    /// The default user's password.
    pub password: Option<String>,
}

/// A running client. Dropping it ends it, for its input closes.
pub struct Client {
    /// The list that it writes or reads.
    pub key: String,
    child: Child,
    file: PathBuf,
}

impl Client {
    /// Starts a client; returns before its first attempt.
    pub fn start(cluster: &Cluster, order: &Order) -> Result<Self> {
        let name = match order.does {
            Does::Write { .. } => "writer",
            Does::Read => "reader",
            Does::Stream(_) => "bulk",
        };
        let file = env::temp_dir().join(format!("{}-{}.{name}", order.key, log::now()));
        let program = program(name, "-p e2e --bins")?;
        let mut command = match &cluster.local {
            Some(local) => {
                let mut command = Command::new("nsenter");
                let network = local.network(&order.node);
                command.arg(format!("--net={}", network.display())).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args([&order.address, &order.key]).arg("--out").arg(&file);
        match order.does {
            Does::Write { wait: Some(wait) } => {
                command.arg("--wait").arg(wait.to_string());
            }
            Does::Write { wait: None } | Does::Read => {}
            Does::Stream(load) => {
                command.arg("--keys").arg(load.keys.to_string());
                command.arg("--rate").arg(load.rate.to_string());
            }
        }
        if let Some(password) = &order.password {
            command.arg("--password").arg(password);
        }
        let child = command
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("the {name} cannot be started"))?;
        Ok(Self {
            key: order.key.clone(),
            child,
            file,
        })
    }

    /// What it has seen so far.
    pub fn history(&self) -> Result<History> {
        if self.file.exists() {
            History::read(&self.file)
        } else {
            Ok(History::default())
        }
    }

    /// The first success of an attempt begun after `moment`.
    pub async fn acknowledged_after(&mut self, moment: Micros, limit: Duration) -> Result<Attempt> {
        let deadline = Instant::now() + limit;
        loop {
            let history = self.history()?;
            if let Some(attempt) = history.first_after(moment) {
                return Ok(attempt.clone());
            }
            if let Some(ended) = self.child.try_wait()? {
                bail!("the client of {} ended by itself: {ended}", self.key);
            }
            if Instant::now() > deadline {
                bail!(
                    "nothing that was done with {} succeeded within {limit:?}: {:?}",
                    self.key,
                    history.troubles()
                );
            }
            sleep(LOOK).await;
        }
    }

    /// Ends it; everything that it saw.
    pub async fn stop(mut self) -> Result<History> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + END_LIMIT;
        let ended = loop {
            if let Some(ended) = self.child.try_wait()? {
                break ended;
            }
            ensure!(Instant::now() < deadline, "the client of {} does not end", self.key);
            sleep(LOOK).await;
        };
        ensure!(ended.success(), "the client of {} failed: {ended}", self.key);
        self.history()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // it has ended, or ends now; what it wrote is in the file or nobody asks for it any more
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}
