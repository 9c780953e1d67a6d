//! The operator's real binary as a process of the test, in the control plane's network, so that it can be ended or stopped
//! at one of its fail points.

use crate::space::{Space, call};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A short lease: what is tested is what comes after it, not how long it lasts.
const LEASE: [&str; 6] = [
    "--lease-duration",
    "1s",
    "--renew-deadline",
    "700ms",
    "--retry-period",
    "200ms",
];
const LOOK: Duration = Duration::from_millis(20);

/// A running operator that serves one namespace. Dropping it ends it.
pub struct LocalOperator {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What has become of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Runs,
    /// It is stopped, and may be resumed.
    Stopped,
    /// It has ended.
    Ended,
}

impl LocalOperator {
    /// Starts one. Its name is the first part of its holder's; `fail_point` is `NAME:kill` or `NAME:stop`.
    pub fn start(space: &Space, name: &str, fail_point: Option<&str>) -> Result<Self> {
        let local = space.cluster.local()?;
        let log = env::temp_dir().join(format!("{}-{name}.log", space.name));
        let mut command = Command::new(program()?);
        command.env("KUBECONFIG", local.kubeconfig());
        command.args([
            "--watch-namespace",
            &space.name,
            "--namespace",
            &space.name,
            "--pod-name",
            name,
        ]);
        command.args(["--admin-address", "127.0.0.1:0"]).args(LEASE);
        if let Some(point) = fail_point {
            command.env("REDIS_OPERATOR_FAIL_POINT", point);
        }
        let out = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn();
        let child = child.context("the operator cannot be started")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Waits until it leads.
    pub async fn leads(&mut self, space: &Space, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let lease = call(space.api::<Lease>().get_opt("redis-operator")).await?;
            let holder = lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
            if holder.starts_with(&format!("{}/", self.name)) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{} does not lead, {holder:?} does",
                self.name
            );
            sleep(LOOK).await;
        }
    }

    /// What has become of its process.
    pub fn state(&mut self) -> Result<State> {
        if self.child.try_wait()?.is_some() {
            return Ok(State::Ended);
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let stopped = status
            .lines()
            .any(|line| line.starts_with("State:") && line.contains('T'));
        Ok(if stopped { State::Stopped } else { State::Runs })
    }

    /// Waits until it is not running any more: its fail point was reached.
    pub async fn reached(&mut self, limit: Duration) -> Result<State> {
        let deadline = Instant::now() + limit;
        loop {
            let state = self.state()?;
            if state != State::Runs {
                return Ok(state);
            }
            ensure!(
                Instant::now() < deadline,
                "its fail point was never reached:\n{}",
                self.said()?
            );
            sleep(LOOK).await;
        }
    }

    /// Sends its process a signal, such as `-CONT` or `-TERM`.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()?;
        ensure!(sent.success(), "{} is gone already", self.name);
        Ok(())
    }

    /// Waits until its log has this text.
    pub async fn says(&self, text: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.said()?.contains(text) {
            ensure!(
                Instant::now() < deadline,
                "{} does not say {text:?}:\n{}",
                self.name,
                self.said()?
            );
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Its log.
    pub fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }
}

impl Drop for LocalOperator {
    fn drop(&mut self) {
        // it has ended, or ends now
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// The operator's program, one folder above a test's.
fn program() -> Result<PathBuf> {
    let own = env::current_exe()?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join("redis-operator"))
        .find(|file| file.exists());
    found.with_context(|| {
        format!(
            "no redis-operator beside {}: build it with `cargo build -p redis-operator`",
            own.display()
        )
    })
}
