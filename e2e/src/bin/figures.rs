//! The long counts: each fault many times, and what the operator costs when nothing happens.
//!
//! Each finished run is a line of a file named after the commit, so an interrupted count goes on where it was.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use e2e::cluster::Cluster;
use e2e::counted::{Fault, Wanted};
use e2e::harness::{describe, spec};
use e2e::idle::{Idle, measure};
use e2e::minute::{self, Minute};
use e2e::report::{Sections, Table};
use e2e::runs::{self, Run};
use e2e::space::Space;
use e2e::subject::Subject;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::sleep;

/// First start of a resource on a machine that starts several.
const START: Duration = Duration::from_secs(180);
/// The operator has done everything that a change caused after this.
const REST: Duration = Duration::from_secs(20);

/// Lets each fault befall masters under writes, many times; then measures the idle operator. Writes docs/figures.md, in
/// which what was not counted anew stays as it was.
#[derive(Parser)]
struct Args {
    /// How often each fault happens; 0 for none.
    #[arg(long, env = "COUNT", default_value_t = 20)]
    count: usize,
    /// Only these, and how often each: `hung=5 cable=3`.
    #[arg(long, env = "FAULTS", value_delimiter = ' ')]
    faults: Vec<Wanted>,
    /// Resources over which the runs are spread: kubelet lets a container that ends often wait.
    #[arg(long, default_value_t = 5)]
    resources: usize,
    /// Resources of the idle measurement.
    #[arg(long, default_value_t = 10)]
    idle_resources: usize,
    /// Seconds of the idle measurement; 0 for none.
    #[arg(long, env = "IDLE_SECONDS", default_value_t = 60)]
    idle_seconds: u64,
    /// Minutes in which nothing fails, however much it looks so; 0 for none.
    #[arg(long, env = "FALSE_ALARM_MINUTES", default_value_t = 60)]
    false_alarm_minutes: usize,
    /// Where finished runs are kept.
    #[arg(long, default_value = "target/figures")]
    runs: PathBuf,
    /// The result.
    #[arg(long, default_value = "docs/figures.md")]
    out: PathBuf,
}

/// How the runs are done, for the reader of the result.
const HOW: &str = "Each fault befalls the master of a resource of three instances in memory, all of them full members before. \
Two clients on a node without the master write every 5 ms through the Service, one plainly and one with WAIT 1; any error \
closes the connection and a fresh one is opened at once. Write gap: the longest time without an acknowledgement, from just \
before the fault until all of them are full members again. Two more read every 5 ms through the Service of the replicas, \
each over one connection as long as it lasts; read gap: the longest time without an answer for one of them. A healthy \
replica is one that was never master, whose pod nobody deleted and whose container ran on; its readers may not be cut. \
Lost: acknowledged, and not on the master then. A process that joins has no data and needs one full sync; any other change \
is to do with partial ones. The servers count both. About a second of a long gap is kube-proxy's, which leaves that much \
between two syncs. Where much data is rolled, a third client overwrites values of 100 kB that do not compress. A process hangs by SIGSTOP until its liveness probe ends it. A cable is plugged in again once another \
master is published, and a node without power, on which every process has ended, boots 5 s after that; where no more is said, the leading operator is on another node.";

/// The heading of all planned changes together.
const PLANNED: &str = "All planned changes without a fault";
/// The heading of what is no failure.
const FALSE_ALARMS: &str = "What is no failure";
/// What is done then, for the reader of the result.
const CALM: &str = "In each minute two clients write and two read as above, a third one overwrites 5 MB/s of 200 MB, and \
these things happen: a BGSAVE of the master, a script on it that runs for 4 s, a SIGSTOP of its process for 1.5 s, and the \
leading operator's process is killed or, in every other minute, its pod deleted. That one happens at another second of each \
minute, in the middle of a script or of a stall among them, and then has its write gap. A script holds up its clients for as \
long as it runs. A reader that hangs up by itself after half a second without an answer counts as cut by a timeout.";
/// The heading of what happens when nothing does.
const IDLE: &str = "The idle operator";

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let cluster = Cluster::find().await?;
    cluster.local()?;
    let commit = commit()?;
    fs::create_dir_all(&args.runs)?;
    let every = Fault::ALL.map(|fault| Wanted {
        fault,
        count: fault.usual(args.count),
    });
    let wanted = if args.faults.is_empty() {
        every.as_slice()
    } else {
        args.faults.as_slice()
    };
    let measured = format!(
        "Commit {commit}, {}, {} cores.",
        jiff::Zoned::now().date(),
        std::thread::available_parallelism()?
    );
    let mut sections = Sections::read(&args.out)?;
    let mut planned = vec![];
    let mut judged = vec![];
    for wanted in wanted.iter().filter(|wanted| wanted.count > 0) {
        let file = args.runs.join(format!("{commit}-{}.jsonl", wanted.fault.name()));
        let runs = befallen(&cluster, &args, *wanted, &file).await?;
        let (table, losses) = (runs::table(&runs), runs::losses(&runs));
        println!("\n{table}\n{losses}\n");
        let text = format!("{measured}\n\n{}\n{losses}", table.markdown());
        sections.put(wanted.fault.title(), text);
        judged.push(runs::judge(&runs, wanted.fault.bounds()).context(wanted.fault.title()));
        if wanted.fault.is_planned() {
            planned.extend(runs);
        }
    }
    if !planned.is_empty() {
        sections.put(PLANNED, format!("{measured}\n\n{}", runs::planned(&planned)));
    }
    if args.false_alarm_minutes > 0 {
        let minutes = calm(&cluster, &args, &args.runs.join(format!("{commit}-false-alarms.jsonl"))).await?;
        let (table, told) = (minute::table(&minutes), minute::told(&minutes));
        println!("\n{table}\n{told}");
        sections.put(
            FALSE_ALARMS,
            format!("{measured} {CALM}\n\n{}\n{told}", table.markdown()),
        );
        judged.push(minute::judge(&minutes).context(FALSE_ALARMS));
    }
    if args.idle_seconds > 0 {
        let idle = idle(&cluster, &args).await?;
        let (table, requests) = (usage(&idle), requests(&idle, &args));
        println!("\n{table}\n{requests}");
        let what = format!(
            "{} resources of three instances, no clients, {} s.",
            args.idle_resources, args.idle_seconds
        );
        sections.put(IDLE, format!("{measured} {what}\n\n{}\n{requests}", table.markdown()));
        judged.push(idle.judge().context(IDLE));
    }
    let order = [PLANNED].into_iter().chain(Fault::ALL.map(Fault::title));
    let order = order.chain([FALSE_ALARMS, IDLE]);
    fs::write(&args.out, sections.write(HOW, order))?;
    println!("Written to {}", args.out.display());
    judged.into_iter().collect()
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

async fn befallen(cluster: &Cluster, args: &Args, wanted: Wanted, file: &Path) -> Result<Vec<Run>> {
    let mut runs = runs::read(file)?;
    println!(
        "{}: {} of {} are done ({})",
        wanted.fault.title(),
        runs.len(),
        wanted.count,
        file.display()
    );
    if runs.len() >= wanted.count {
        return Ok(runs);
    }
    let space = Space::create(
        cluster,
        &format!("figures-{}-{}", wanted.fault.name(), std::process::id()),
    )
    .await?;
    let outcome = befall_more(&space, args, wanted, file, &mut runs).await;
    outcome.and(space.delete().await)?;
    Ok(runs)
}

async fn befall_more(space: &Space, args: &Args, wanted: Wanted, file: &Path, runs: &mut Vec<Run>) -> Result<()> {
    let most = wanted
        .fault
        .resources(args.resources)
        .min(wanted.count.saturating_sub(runs.len()));
    let subjects = apply(space, most, &wanted.fault.spec()).await?;
    for number in runs.len()..wanted.count {
        let turn = number.checked_rem(subjects.len()).unwrap_or_default();
        let subject = subjects.get(turn).context("--resources must be at least 1")?;
        let befallen = wanted.fault.befall(subject).await?;
        println!(
            "{:>3}/{} {}: {}",
            number + 1,
            wanted.count,
            subject.name,
            befallen.verdict.line()
        );
        let run = Run::of(&subject.name, befallen)?;
        runs::keep(&run, file)?;
        runs.push(run);
    }
    Ok(())
}

async fn apply(space: &Space, count: usize, spec: &Value) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for number in 0..count {
        subjects.push(space.apply(&format!("r{number}"), spec.clone()).await?);
    }
    for subject in &subjects {
        subject.settled(START).await?;
    }
    Ok(subjects)
}

/// Minutes of one resource; of another one, if they were interrupted.
async fn calm(cluster: &Cluster, args: &Args, file: &Path) -> Result<Vec<Minute>> {
    let mut minutes: Vec<Minute> = runs::read(file)?;
    let wanted = args.false_alarm_minutes;
    println!(
        "\n{FALSE_ALARMS}: {} of {wanted} minutes are done ({})",
        minutes.len(),
        file.display()
    );
    if minutes.len() >= wanted {
        return Ok(minutes);
    }
    let space = Space::create(cluster, &format!("calm-{}", std::process::id())).await?;
    let passed = async {
        let subject = space.apply("r", spec(3)).await?;
        Minute::prepare(&subject, START).await?;
        while minutes.len() < wanted {
            let minute = Minute::pass(&subject, u64::try_from(minutes.len())?).await?;
            println!(
                "{:>3}/{wanted} {}",
                minutes.len() + 1,
                minute::told(std::slice::from_ref(&minute))
            );
            runs::keep(&minute, file)?;
            minutes.push(minute);
        }
        Ok(())
    };
    let passed: Result<()> = passed.await;
    if passed.is_err() {
        println!(
            "{}",
            describe(&space).await.unwrap_or_else(|error| format!("{error:#}"))
        );
    }
    passed.and(space.delete().await)?;
    Ok(minutes)
}

async fn idle(cluster: &Cluster, args: &Args) -> Result<Idle> {
    println!("\nThe operator with {} idle resources:", args.idle_resources);
    let space = Space::create(cluster, &format!("idle-{}", std::process::id())).await?;
    let measured = async {
        apply(&space, args.idle_resources, &spec(3)).await?;
        sleep(REST).await;
        measure(cluster, Duration::from_secs(args.idle_seconds)).await
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
