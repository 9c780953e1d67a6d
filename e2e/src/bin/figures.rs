//! The long counts: many kills, and what the operator costs when nothing happens.
//!
//! Each finished run is a line of a file named after the commit, so an interrupted count goes on where it was.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use e2e::cluster::Cluster;
use e2e::fault::Signal;
use e2e::harness::spec;
use e2e::idle;
use e2e::report::{Table, spread};
use e2e::space::Space;
use e2e::subject::Subject;
use e2e::trial::{self, Expect, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::sleep;

/// First start of a resource on a machine that starts several.
const START: Duration = Duration::from_secs(180);
/// The operator has done everything that a change caused after this.
const REST: Duration = Duration::from_secs(20);
/// The share of a failover that is allowed to be slow.
const MAX_GAP_MS: f64 = 1200.0;
/// What half of the failovers must reach.
const MEDIAN_GAP_MS: f64 = 200.0;

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

/// One kill, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Run {
    resource: String,
    gap_ms: f64,
    gap_wait_ms: f64,
    acknowledged: usize,
    lost: usize,
    lost_wait: usize,
    two_masters: usize,
    two_published: usize,
    settled_ms: u64,
    said: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let cluster = Cluster::find().await?;
    cluster.local()?;
    let commit = commit()?;
    fs::create_dir_all(&args.runs)?;
    let file = args.runs.join(format!("{commit}.jsonl"));
    let runs = kills(&cluster, &args, &file).await?;
    let kills = kill_table(&runs);
    println!("\n{kills}");
    let idle = idle_table(&cluster, &args).await?;
    println!("\n{idle}");
    let text = format!(
        "# Figures\n\nCommit {commit}, {}, by `make figures`: three nodes on one machine with {} cores.\n\n{}\n{}",
        jiff::Zoned::now().date(),
        std::thread::available_parallelism()?,
        explained(&args, &kills),
        explained_idle(&args, &idle)
    );
    if let Some(folder) = args.out.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&args.out, text)?;
    println!("Written to {}", args.out.display());
    judge(&runs)
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

async fn kills(cluster: &Cluster, args: &Args, file: &Path) -> Result<Vec<Run>> {
    let mut runs = read(file)?;
    println!(
        "{} of {} kills are done ({})",
        runs.len().min(args.kills),
        args.kills,
        file.display()
    );
    if runs.len() >= args.kills {
        return Ok(runs);
    }
    let space = Space::create(cluster, &format!("figures-{}", std::process::id())).await?;
    let outcome = more_kills(&space, args, file, &mut runs).await;
    outcome.and(space.delete().await)?;
    Ok(runs)
}

async fn more_kills(space: &Space, args: &Args, file: &Path, runs: &mut Vec<Run>) -> Result<()> {
    let subjects = apply(space, args.resources).await?;
    for number in runs.len()..args.kills {
        let turn = number.checked_rem(subjects.len()).unwrap_or_default();
        let subject = subjects.get(turn).context("--resources must be at least 1")?;
        let verdict = trial::run(subject, Expect::Failover, async |before| {
            subject.process(&before.master)?.send(Signal::Kill)
        })
        .await?;
        println!("{:>3}/{} {}: {}", number + 1, args.kills, subject.name, verdict.line());
        let run = run(subject, &verdict);
        let mut kept = OpenOptions::new().create(true).append(true).open(file)?;
        writeln!(kept, "{}", serde_json::to_string(&run)?)?;
        runs.push(run);
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

fn read(file: &Path) -> Result<Vec<Run>> {
    let text = if file.exists() {
        fs::read_to_string(file)?
    } else {
        String::new()
    };
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{}", file.display())));
    lines.collect()
}

fn run(subject: &Subject, verdict: &Verdict) -> Run {
    let gap = |waited: bool| {
        let mut of = verdict
            .accounts
            .iter()
            .filter(|account| account.wait.is_some() == waited);
        of.next()
            .map_or(f64::NAN, |account| account.gap.length().as_secs_f64() * 1000.0)
    };
    Run {
        resource: subject.name.clone(),
        gap_ms: gap(false),
        gap_wait_ms: gap(true),
        acknowledged: verdict
            .accounts
            .iter()
            .map(|account| account.balance.acknowledged)
            .sum(),
        lost: verdict.lost(false),
        lost_wait: verdict.lost(true),
        two_masters: verdict.two_masters.len(),
        two_published: verdict.seen.violations().len(),
        settled_ms: u64::try_from(verdict.settled.as_millis()).unwrap_or(u64::MAX),
        said: serde_json::to_string(&verdict.last_failover()).unwrap_or_default(),
    }
}

fn kill_table(runs: &[Run]) -> Table {
    let headings = [
        "client",
        "kills",
        "gap min (ms)",
        "median",
        "max",
        "acknowledged writes lost",
        "two masters",
    ];
    let mut table = Table::new(&headings);
    let two: usize = runs.iter().map(|run| run.two_masters + run.two_published).sum();
    type Figure = fn(&Run) -> f64;
    type Count = fn(&Run) -> usize;
    let clients: [(&str, Figure, Count); 2] = [
        ("plain", |run| run.gap_ms, |run| run.lost),
        ("WAIT 1", |run| run.gap_wait_ms, |run| run.lost_wait),
    ];
    for (client, gap, lost) in clients {
        let gaps: Vec<f64> = runs.iter().map(gap).collect();
        let (least, median, most) = spread(&gaps).unwrap_or_default();
        table.row(&[
            client.to_owned(),
            runs.len().to_string(),
            format!("{least:.0}"),
            format!("{median:.0}"),
            format!("{most:.0}"),
            runs.iter().map(lost).sum::<usize>().to_string(),
            two.to_string(),
        ]);
    }
    table
}

async fn idle_table(cluster: &Cluster, args: &Args) -> Result<Table> {
    println!("\nThe operator with {} idle resources:", args.idle_resources);
    let space = Space::create(cluster, &format!("idle-{}", std::process::id())).await?;
    let measured = async {
        apply(&space, args.idle_resources).await?;
        sleep(REST).await;
        idle::measure(cluster, Duration::from_secs(args.idle_seconds)).await
    }
    .await;
    space.delete().await?;
    let idle = measured?;
    let mut table = Table::new(&["operator", "RSS (MB)", "CPU (% of one core)"]);
    for process in &idle.processes {
        let role = if process.leads { "leader" } else { "standby" };
        table.row(&[
            role.to_owned(),
            format!("{:.1}", process.rss_mb),
            format!("{:.2}", process.cpu_percent),
        ]);
    }
    table.row(&[
        "requests to the API server:".to_owned(),
        "in that time".to_owned(),
        String::new(),
    ]);
    for (what, count) in [
        ("lease", idle.lease),
        ("other writes", idle.writes),
        ("reads and watches", idle.reads),
    ] {
        table.row(&[what.to_owned(), format!("{count:.0}"), String::new()]);
    }
    Ok(table)
}

fn explained(args: &Args, table: &Table) -> String {
    let mut text = String::from("## A master killed under writes\n\n");
    let _ = write!(
        text,
        "SIGKILL to the master's process, spread over {} resources of three instances in memory, all of them full members \
         before each kill. Two clients on a node without the master write every 5 ms through the Service, plainly and with \
         WAIT 1; any error closes the connection and a fresh one is opened at once. Gap: the longest time without an \
         acknowledgement, from just before the kill until all three are full members again. Lost: acknowledged, and not \
         on the master then.\n\n{}",
        args.resources,
        table.markdown()
    );
    text
}

fn explained_idle(args: &Args, table: &Table) -> String {
    format!(
        "## The idle operator\n\n{} resources of three instances, no clients, over {} s.\n\n{}",
        args.idle_resources,
        args.idle_seconds,
        table.markdown()
    )
}

fn judge(runs: &[Run]) -> Result<()> {
    let lost: usize = runs.iter().map(|run| run.lost_wait).sum();
    ensure!(lost == 0, "{lost} writes that WAIT had acknowledged are lost");
    ensure!(
        runs.iter().all(|run| run.two_masters + run.two_published == 0),
        "two masters"
    );
    let gaps: Vec<f64> = runs.iter().map(|run| run.gap_ms).collect();
    let (_, median, most) = spread(&gaps).context("no runs")?;
    ensure!(
        median <= MEDIAN_GAP_MS && most <= MAX_GAP_MS,
        "gap: median {median:.0} ms, maximum {most:.0} ms"
    );
    Ok(())
}
