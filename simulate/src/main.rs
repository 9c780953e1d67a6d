//! `simulate a..b`: runs these seeds on all cores, and tells what it saw.

use anyhow::{Context, Result, bail};
use clap::Parser;
use simulate::rules::{self, Rule};
use simulate::run::{Given, many, run, shrink};
use simulate::settings::Class;
use std::process::ExitCode;

/// Runs the operator's decisions and passes on simulated time, network, API server and servers.
#[derive(Parser)]
struct Args {
    /// Seeds: from..to (without the last), or one, whose story is told.
    seeds: String,
    /// Only this class of faults: planned, single or chaos.
    #[arg(long)]
    class: Option<String>,
    /// Take this rule out: something has to break then.
    #[arg(long)]
    without: Option<String>,
    /// Take every rule out in its turn up to the first of the seeds at which something breaks, as a table.
    #[arg(long)]
    rules: bool,
    /// One seed: tell all of it, with every fault that it has.
    #[arg(long)]
    whole: bool,
    /// Threads; all cores if absent.
    #[arg(long)]
    threads: Option<usize>,
    /// Go on after a failure.
    #[arg(long)]
    all: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let class = match args.class.as_deref() {
        None => None,
        Some("planned") => Some(Class::Planned),
        Some("single") => Some(Class::Single),
        Some("chaos") => Some(Class::Chaos),
        Some(other) => bail!("{other:?} is no class: write planned, single or chaos"),
    };
    let without = args.without.as_deref().map(Rule::named).transpose();
    let given = Given {
        class,
        without: without.map_err(anyhow::Error::msg)?,
    };
    let Some((from, to)) = args.seeds.split_once("..") else {
        return Ok(one(number(&args.seeds)?, given, args.whole));
    };
    let seeds = number(from)?..number(to)?;
    if args.rules {
        println!("{}", rules::HEAD);
        rules::rows(&seeds, args.threads).for_each(|row| println!("{row}"));
        return Ok(ExitCode::SUCCESS);
    }
    let sum = many(seeds, given, args.threads, args.all);
    print!("{sum}");
    match sum.broken.first() {
        None => Ok(ExitCode::SUCCESS),
        Some((seed, _)) => Ok(one(*seed, given, false)),
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse()
        .with_context(|| format!("{text:?} is no seed: write 17 or 0..1000"))
}

/// Tells the story of a seed: all of it, or with as few faults as still break something.
fn one(seed: u64, given: Given, whole: bool) -> ExitCode {
    let outcome = run(seed, given, whole);
    let fails = outcome.broken.is_some();
    let story = if fails && !whole { shrink(seed, given) } else { outcome };
    for line in &story.lines {
        println!("{line}");
    }
    for (what, n) in &story.coverage.counts {
        println!("{n:>8}  {what}");
    }
    match story.broken {
        None => {
            println!(
                "seed {seed}: fine after {} s and {} events",
                story.took / 1_000_000,
                story.events
            );
            ExitCode::SUCCESS
        }
        Some(what) => {
            println!("seed {seed}, with these faults:");
            for fault in story.faults {
                println!("  {fault:?}");
            }
            println!("{what}");
            ExitCode::FAILURE
        }
    }
}
