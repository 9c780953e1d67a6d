//! The demonstration: kills a master under writes and shows what that meant to a client.

use anyhow::{Result, ensure};
use clap::Parser;
use e2e::cluster::Cluster;
use e2e::fault::Signal;
use e2e::log::Micros;
use e2e::pod::{node, role};
use e2e::report::Table;
use e2e::space::Space;
use e2e::subject::{Settled, Subject, conditions};
use e2e::trial::{self, Expect, Verdict};
use kube::ResourceExt;
use redis_operator_core::names;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long the first start may take: images are unpacked, volumes bound.
const READY_LIMIT: Duration = Duration::from_secs(180);
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Kills a master's process under writes and shows what that meant to a client.
#[derive(Parser)]
struct Args {
    /// Namespace of the Redis.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// Name of the Redis.
    #[arg(long, default_value = "example")]
    name: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let cluster = Cluster::find().await?;
    cluster.local()?;
    let subject = Subject::new(&Space::existing(&cluster, &args.namespace), &args.name);
    ready(&subject).await?;
    let service = names::master_service(&args.name);
    let verdict = trial::run(&subject, Expect::Failover, async |before| {
        println!("\nBefore:\n{}", roles(before));
        let master = before.master.name_any();
        println!("Two clients write every 5 ms through {service}, one of them with WAIT 1.");
        println!("SIGKILL to the redis-server of {master} …");
        subject.process(&before.master)?.send(Signal::Kill)
    })
    .await?;
    println!(
        "\nAfter {:.1} s everybody is back:\n{}",
        verdict.settled.as_secs_f64(),
        roles(&verdict.after)
    );
    println!("What happened, in ms after the kill:\n{}", timeline(&verdict));
    println!("What the clients saw:\n{}", clients(&verdict));
    verdict.ensure_safe()?;
    let lost = verdict.lost(false);
    ensure!(lost == 0, "{lost} acknowledged writes are lost");
    println!("No acknowledged write was lost, and at no moment were there two masters.");
    Ok(())
}

/// Waits for the first start, with progress.
async fn ready(subject: &Subject) -> Result<()> {
    let begun = Instant::now();
    let mut shown = String::new();
    loop {
        let redis = subject.get().await?;
        let status = redis.status.clone().unwrap_or_default();
        let state = format!(
            "{} ready, {}",
            status.ready.as_deref().unwrap_or("nothing"),
            status.summary.as_deref().unwrap_or("waiting for the operator")
        );
        if state != shown {
            println!("  {:>5.1} s  {state}", begun.elapsed().as_secs_f64());
            shown = state;
        }
        if subject.settled(Duration::ZERO).await.is_ok() {
            println!("  {:>5.1} s  whole", begun.elapsed().as_secs_f64());
            return Ok(());
        }
        ensure!(
            begun.elapsed() < READY_LIMIT,
            "not ready within {READY_LIMIT:?}: {}",
            conditions(&redis)
        );
        sleep(LOOK).await;
    }
}

fn roles(settled: &Settled) -> Table {
    let mut table = Table::new(&["pod", "role", "node", "address", "run id"]);
    for pod in settled.pods() {
        let name = pod.name_any();
        let process = settled.record.processes().find(|process| process.pod == name);
        let run_id = process.map(|process| process.run_id.chars().take(8).collect::<String>());
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        table.row(&[
            name.as_str(),
            role(pod).unwrap_or("-"),
            node(pod),
            &address.unwrap_or_default(),
            &run_id.unwrap_or_default(),
        ]);
    }
    table
}

fn timeline(verdict: &Verdict) -> Table {
    let mut table = Table::new(&["", "ms"]);
    let after_kill = |at: Micros| format!("{:.1}", micros(at) - micros(verdict.fault));
    if let Some(failover) = verdict.last_failover() {
        let noticed = failover.at.as_ref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let noticed = noticed.and_then(|at| Micros::try_from(at.as_microsecond()).ok());
        let steps = [
            ("noticed", Some(0)),
            ("elected", failover.elected_ms),
            ("promoted", failover.promoted_ms),
            ("published", failover.published_ms),
        ];
        for (step, since) in steps {
            let since = since.and_then(|ms| Micros::try_from(ms).ok());
            let at = noticed.zip(since).map(|(noticed, ms)| after_kill(noticed + ms * 1000));
            table.row(&[step, &at.unwrap_or_else(|| "not said".to_owned())]);
        }
    }
    let first = verdict.first_write().map(after_kill);
    table.row(&["first write", &first.unwrap_or_else(|| "none".to_owned())]);
    table
}

fn clients(verdict: &Verdict) -> Table {
    let mut table = Table::new(&["client", "acknowledged", "lost", "longest gap (ms)", "errors"]);
    for account in &verdict.accounts {
        let client = account
            .wait
            .map_or_else(|| "plain".to_owned(), |wait| format!("WAIT {wait}"));
        let troubles = account.history.troubles();
        let troubles = troubles.iter().map(|(kind, n)| format!("{n} {kind}"));
        table.row(&[
            client,
            account.balance.acknowledged.to_string(),
            account.balance.lost.len().to_string(),
            account.gap.length().as_millis().to_string(),
            troubles.collect::<Vec<_>>().join(", "),
        ]);
    }
    table
}

/// Milliseconds for people; a difference of two moments of one hour is exact.
fn micros(at: Micros) -> f64 {
    Duration::from_micros(at).as_secs_f64() * 1000.0
}
