//! The long counts: many kills, and what the operator costs when nothing happens.
//!
//! Each finished run is a line of a file named after the commit, so an interrupted count goes on where it was.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use e2e::cluster::Cluster;
use e2e::fault::Signal;
use e2e::harness::spec;
use e2e::idle::{self, Idle};
use e2e::kills::{self, Kill};
use e2e::report::Table;
use e2e::space::Space;
use e2e::subject::Subject;
use e2e::trial::{self, Expect};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::sleep;

/// First start of a resource on a machine that starts several.
const START: Duration = Duration::from_secs(180);
/// The operator has done everything that a change caused after this.
const REST: Duration = Duration::from_secs(20);

/// Kills masters under writes, many times; then measures the idle operator. Writes docs/figures.md.
#[derive(Parser)]
struct Args {
    /// How many masters are killed.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// Resources over which the kills are spread: kubelet lets a container that ends often wait.
    #[arg(long, default_value_t = 5)]
    resources: usize,
    /// Resources of the idle measurement.
    #[arg(long, default_value_t = 10)]
    idle_resources: usize,
    /// Seconds of the idle measurement.
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
    /// Where finished runs are kept.
    #[arg(long, default_value = "target/figures")]
    runs: PathBuf,
    /// The result.
    #[arg(long, default_value = "docs/figures.md")]
    out: PathBuf,
}

/// How the kills are done, for the reader of the result.
const HOW: &str = "SIGKILL to the master's process, spread over several resources of three instances in memory, all of \
them full members before each kill. Two clients on a node without the master write every 5 ms through the Service, one \
plainly and one with WAIT 1; any error closes the connection and a fresh one is opened at once. Write gap: the longest \
time without an acknowledgement, from just before the kill until all three are full members again. Lost: acknowledged, \
and not on the master then. About a second of a long gap is kube-proxy's, which leaves that much between two syncs.";

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let cluster = Cluster::find().await?;
    cluster.local()?;
    let commit = commit()?;
    fs::create_dir_all(&args.runs)?;
    let file = args.runs.join(format!("{commit}.jsonl"));
    let kills = killed(&cluster, &args, &file).await?;
    let kill_table = kills::table(&kills);
    println!("\n{kill_table}\n{}", kills::losses(&kills));
    let idle = measured(&cluster, &args).await?;
    let idle_table = usage(&idle);
    println!("\n{idle_table}\n{}", requests(&idle, &args));
    let text = format!(
        "# Figures\n\nCommit {commit}, {}, by `make figures`: three nodes on one machine with {} cores.\n\n\
         ## A master killed under writes\n\n{HOW}\n\n{}\n{}\n\n\
         ## The idle operator\n\n{} resources of three instances, no clients, {} s.\n\n{}\n{}\n",
        jiff::Zoned::now().date(),
        std::thread::available_parallelism()?,
        kill_table.markdown(),
        kills::losses(&kills),
        args.idle_resources,
        args.idle_seconds,
        idle_table.markdown(),
        requests(&idle, &args),
    );
    if let Some(folder) = args.out.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&args.out, text)?;
    println!("Written to {}", args.out.display());
    kills::judge(&kills)
}

fn commit() -> Result<String> {
    let git = |args: &[&str]| -> Result<String> {
        let said = Command::new("git").args(args).output()?;
        ensure!(
            said.status.success(),
            "git {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&said.stderr)
        );
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    Ok(if changed { format!("{commit}-changed") } else { commit })
}

async fn killed(cluster: &Cluster, args: &Args, file: &Path) -> Result<Vec<Kill>> {
    let mut kills = kills::read(file)?;
    println!("{} of {} kills are done ({})", kills.len(), args.kills, file.display());
    if kills.len() >= args.kills {
        return Ok(kills);
    }
    let space = Space::create(cluster, &format!("figures-{}", std::process::id())).await?;
    let outcome = kill_more(&space, args, file, &mut kills).await;
    outcome.and(space.delete().await)?;
    Ok(kills)
}

async fn kill_more(space: &Space, args: &Args, file: &Path, kills: &mut Vec<Kill>) -> Result<()> {
    let subjects = apply(space, args.resources).await?;
    for number in kills.len()..args.kills {
        let turn = number.checked_rem(subjects.len()).unwrap_or_default();
        let subject = subjects.get(turn).context("--resources must be at least 1")?;
        let verdict = trial::run(subject, Expect::Failover, async |before| {
            subject.process(&before.master)?.send(Signal::Kill)
        })
        .await?;
        println!("{:>3}/{} {}: {}", number + 1, args.kills, subject.name, verdict.line());
        let kill = Kill::of(&subject.name, &verdict)?;
        kill.keep(file)?;
        kills.push(kill);
    }
    Ok(())
}

async fn apply(space: &Space, count: usize) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for number in 0..count {
        subjects.push(space.apply(&format!("r{number}"), spec(3)).await?);
    }
    for subject in &subjects {
        subject.settled(START).await?;
    }
    Ok(subjects)
}

async fn measured(cluster: &Cluster, args: &Args) -> Result<Idle> {
    println!("\nThe operator with {} idle resources:", args.idle_resources);
    let space = Space::create(cluster, &format!("idle-{}", std::process::id())).await?;
    let measured = async {
        apply(&space, args.idle_resources).await?;
        sleep(REST).await;
        idle::measure(cluster, Duration::from_secs(args.idle_seconds)).await
    };
    let measured = measured.await;
    space.delete().await?;
    measured
}

fn usage(idle: &Idle) -> Table {
    let mut table = Table::new(&["operator", "RSS (MB)", "CPU (% of one core)"]);
    for process in &idle.processes {
        let role = if process.leads { "leader" } else { "standby" };
        let (rss, cpu) = (format!("{:.1}", process.rss_mb), format!("{:.2}", process.cpu_percent));
        table.row(&[role, &rss, &cpu]);
    }
    table
}

fn requests(idle: &Idle, args: &Args) -> String {
    format!(
        "Requests to the API server in those {} s: {} for the lease, {} other writes, {} reads and watches.",
        args.idle_seconds, idle.lease, idle.writes, idle.reads
    )
}
