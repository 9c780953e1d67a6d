//! `simulate a..b`: runs these seeds on all cores, and tells what it saw.

use anyhow::{Context, Result, bail};
use clap::Parser;
use simulate::coverage::Coverage;
use simulate::run::{Outcome, run, shrink};
use simulate::settings::Class;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Runs the operator's decisions and passes on simulated time, network, API server and servers.
#[derive(Parser)]
struct Args {
    /// Seeds: from..to (without the last), or one.
    seeds: String,
    /// Only this class of faults: single or chaos.
    #[arg(long)]
    class: Option<String>,
    /// Print what happens.
    #[arg(long)]
    verbose: bool,
    /// Threads.
    #[arg(long)]
    threads: Option<usize>,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let class = match args.class.as_deref() {
        None => None,
        Some("single") => Some(Class::Single),
        Some("chaos") => Some(Class::Chaos),
        Some(other) => bail!("{other:?} is no class: write single or chaos"),
    };
    let (from, to) = match args.seeds.split_once("..") {
        Some((from, to)) => (number(from)?, number(to)?),
        None => {
            let seed = number(&args.seeds)?;
            return one(seed, class, args.verbose);
        }
    };
    many(from, to, class, &args)
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text:?} is no seed: write 17 or 0..1000"))
}

fn one(seed: u64, class: Option<Class>, verbose: bool) -> Result<()> {
    let outcome = run(seed, class, true);
    match &outcome.broken {
        None => {
            if verbose {
                println!("{}", outcome.lines.join("\n"));
            }
            println!("seed {seed}: fine after {} s and {} events", outcome.took / 1_000_000, outcome.events);
            Ok(())
        }
        Some(_) if verbose => {
            println!("{}", outcome.lines.join("\n"));
            std::process::exit(1)
        }
        Some(_) => tell(seed, class),
    }
}

fn tell(seed: u64, class: Option<Class>) -> Result<()> {
    let story = shrink(seed, class);
    println!("seed {seed}, with as few faults as it takes: {:#?}", story.faults);
    println!("{}", story.lines.join("\n"));
    println!("seed {seed}: {}", story.broken.unwrap_or_default());
    std::process::exit(1)
}

fn many(from: u64, to: u64, class: Option<Class>, args: &Args) -> Result<()> {
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let sum = Mutex::new((Coverage::default(), Vec::<(u64, String)>::new(), 0_u64, 0_u64));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    let Outcome { broken, coverage, took, events, .. } = run(seed, class, false);
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.0.add(&coverage);
                    sum.2 += took;
                    sum.3 += events;
                    if let Some(what) = broken {
                        println!("seed {seed}: {what}");
                        sum.1.push((seed, what));
                        stop.store(!args.keep_going, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (coverage, broken, took, events) = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let seconds = begun.elapsed().as_secs_f64();
    let runs = next.load(Ordering::Relaxed).min(to) - from;
    println!("{runs} runs in {seconds:.1} s on {threads} threads: {:.0} a second and thread; {} simulated hours, {events} events", runs as f64 / seconds / threads as f64, took / 3_600_000_000);
    for (title, rows) in [
        ("plans", coverage.whys.iter().map(|(name, n)| (name.to_string(), *n)).collect::<Vec<_>>()),
        ("phases", coverage.phases.iter().map(|(name, n)| (name.clone(), *n)).collect()),
        ("faults", coverage.faults.iter().map(|(name, n)| (name.clone(), *n)).collect()),
        ("counts", coverage.counts.iter().map(|(name, n)| (name.to_string(), *n)).collect()),
    ] {
        println!("{title}:");
        for (name, n) in rows {
            println!("  {n:>10}  {name}");
        }
    }
    match broken.iter().min_by_key(|(seed, _)| *seed) {
        None => Ok(()),
        Some((seed, _)) => tell(*seed, class),
    }
}
