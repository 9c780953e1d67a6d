//! The operator's real binary as a process of the test, in the control plane's network, so that it can be ended or stopped
//! at one of its fail points.

use crate::cluster::Cluster;
use crate::log::{self, Micros};
use crate::program::{operator, program};
use crate::rights;
use crate::space::{self, Space, call};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use std::env;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A lease as long as the default, renewed for longer: an operator on a busy machine must not lose it before its fail point.
const LEASE: [&str; 6] = [
    "--lease-duration",
    "3s",
    "--renew-deadline",
    "2500ms",
    "--retry-period",
    "500ms",
];
const LOOK: Duration = Duration::from_millis(20);

/// So many logs are shown after a failure: the last case's operators.
const SHOWN: usize = 4;
/// And so many of their last lines.
const LINES: usize = 60;
/// What the names of logs end with.
const LOG: &str = "log";

/// What the API server says of a right that somebody does not have.
const REFUSED: &str = "is forbidden: User";

/// A running operator that serves one namespace. Dropping it ends it.
pub struct LocalOperator {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What a fail point does to its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// SIGSTOP: it may be resumed.
    Stop,
}

impl Action {
    /// As `REDIS_OPERATOR_FAIL_POINT` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
        }
    }
}

/// A rule of the protocol that an operator can be without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A process that starts serves nobody.
    Fence,
    /// Members are frozen before one of them is promoted.
    Freeze,
}

impl Rule {
    /// As `REDIS_OPERATOR_WITHOUT` has it.
    fn name(self) -> &'static str {
        match self {
            Self::Fence => "fence",
            Self::Freeze => "freeze",
        }
    }
}

/// SIGKILL.
const KILLED: i32 = 9;

/// Creates a namespace in which operators can be started: each serves it alone, with rights in nothing else.
pub async fn space(cluster: &Cluster, name: &str) -> Result<Space> {
    let space = Space::create(cluster, name).await?;
    fs::create_dir_all(folder(&space))?;
    rights::narrow(&space, &kubeconfig(&space)).await?;
    Ok(space)
}

impl LocalOperator {
    /// Starts one in a namespace that [`space`] created. Its name is the first part of its holder's; `fail_point` is
    /// `NAME:kill` or `NAME:stop`.
    pub fn start(space: &Space, name: &str, fail_point: Option<&str>) -> Result<Self> {
        Self::start_without(None, space, name, fail_point)
    }

    /// Starts one that is without a rule: another binary, for the operator's has no such switch.
    pub fn start_without(without: Option<Rule>, space: &Space, name: &str, fail_point: Option<&str>) -> Result<Self> {
        let log = folder(space).join(format!("{name}.{LOG}"));
        let mut command = match without {
            None => Command::new(operator()?),
            Some(_) => Command::new(program(
                "operator-without-rules",
                "-p redis-operator --features rules-out",
            )?),
        };
        if let Some(rule) = without {
            command.env("REDIS_OPERATOR_WITHOUT", rule.name());
        }
        command.env("KUBECONFIG", kubeconfig(space));
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
            if self.is(&holder) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{} does not lead, {holder:?} does",
                self.name
            );
            sleep(space::LOOK).await;
        }
    }

    /// Waits until its fail point was reached and did what it says. Any other end is an error: a panic, say.
    pub async fn reached(&mut self, action: Action, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let done = self.done()?;
            if let Some(done) = done {
                let reached = done == action && self.said()?.contains("fail point reached");
                ensure!(reached, "{} did {done:?} by itself:\n{}", self.name, self.said()?);
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the fail point of {} was never reached:\n{}",
                self.name,
                self.said()?
            );
            sleep(LOOK).await;
        }
    }

    /// None as long as its process runs.
    fn done(&mut self) -> Result<Option<Action>> {
        if let Some(ended) = self.child.try_wait()? {
            ensure!(
                ended.signal() == Some(KILLED),
                "{} ended: {ended}\n{}",
                self.name,
                self.said()?
            );
            return Ok(Some(Action::Kill));
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mut states = status.lines().filter_map(|line| line.strip_prefix("State:"));
        let state = states.next().and_then(|state| state.split_whitespace().next());
        Ok((state == Some("T")).then_some(Action::Stop))
    }

    /// Resumes it, and waits until it has noticed that it does not lead any more: from then on it sends nothing.
    /// Returns the moment just before.
    pub async fn resume(&self, limit: Duration) -> Result<Micros> {
        let at = log::now();
        self.signal("-CONT")?;
        self.says("the lease is lost", limit).await?;
        Ok(at)
    }

    /// Whether this holder, as the record has it, is this operator.
    pub fn is(&self, holder: &str) -> bool {
        holder.split('/').next() == Some(&self.name)
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
    async fn says(&self, text: &str, limit: Duration) -> Result<()> {
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
    }
}

/// Where the logs of a namespace's operators are, those included that have ended, and their kubeconfig.
fn folder(space: &Space) -> PathBuf {
    env::temp_dir().join(&space.name)
}

/// How they reach the API server.
fn kubeconfig(space: &Space) -> PathBuf {
    folder(space).join("kubeconfig")
}

/// The last lines that each of a namespace's operators logged, the last ones that were started only.
pub fn logs(space: &Space) -> Result<String> {
    let all = all_logs(space)?;
    let last = all.iter().skip(all.len().saturating_sub(SHOWN));
    let shown = last.map(|(file, log)| {
        let skipped = log.lines().count().saturating_sub(LINES);
        let lines: Vec<_> = log.lines().skip(skipped).collect();
        format!("--- {}\n{}\n", file.display(), lines.join("\n"))
    });
    Ok(shown.collect())
}

/// Removes all of that, if the rights were enough for what was done.
pub fn forget(space: &Space) -> Result<()> {
    for (file, log) in all_logs(space)? {
        let refused = log.lines().find(|line| line.contains(REFUSED));
        ensure!(refused.is_none(), "{}: {refused:?}", file.display());
    }
    Ok(fs::remove_dir_all(folder(space))?)
}

/// The oldest first.
fn all_logs(space: &Space) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder(space))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == LOG) {
            files.push((entry.metadata()?.created()?, entry.path()));
        }
    }
    files.sort();
    let read = |(_, file)| {
        let log = fs::read_to_string(&file)?;
        Ok((file, log))
    };
    files.into_iter().map(read).collect()
}
