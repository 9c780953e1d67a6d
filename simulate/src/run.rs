//! One seed, many seeds, and the shortest story of one that fails.

use crate::coverage::Coverage;
use crate::faults::{Fault, Plan};
use crate::rules::{Rule, take_out};
use crate::settings::{Class, Settings};
use crate::world::{Time, World};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No run takes longer than this, in simulated time.
const LONGEST: Time = 3_600_000_000;

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// What must not be, if it was.
    pub broken: Option<String>,
    /// What was seen.
    pub coverage: Coverage,
    /// What happened, if lines were wanted.
    pub lines: Vec<String>,
    /// Simulated time.
    pub took: Time,
    /// Events.
    pub events: u64,
    /// What went wrong in it.
    pub faults: Vec<Fault>,
}

/// What is not drawn from the seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// The class, whatever the seed says.
    pub class: Option<Class>,
    /// A rule that is taken out.
    pub without: Option<Rule>,
}

/// Runs a seed as it is.
pub fn run(seed: u64, given: Given, verbose: bool) -> Outcome {
    take_out(given.without);
    run_drawn(seed, given, verbose)
}

fn run_drawn(seed: u64, given: Given, verbose: bool) -> Outcome {
    let (settings, plan) = draw(seed, given);
    run_plan(seed, settings, plan, verbose)
}

fn draw(seed: u64, given: Given) -> (Settings, Plan) {
    let mut settings = Settings::draw(seed);
    settings.class = given.class.unwrap_or(settings.class);
    settings.without = given.without;
    settings.users &= settings.holds(Rule::Users);
    let plan = Plan::draw(seed, &settings);
    (settings, plan)
}

/// Runs a plan in the world of a seed.
pub fn run_plan(seed: u64, settings: Settings, plan: Plan, verbose: bool) -> Outcome {
    let faults = plan.faults.clone();
    let mut world = World::new(seed, settings, plan, verbose);
    world.populate();
    world.run(LONGEST);
    if !world.over && world.broken.is_none() {
        world.violation("the run does not end".to_owned());
    }
    if world.broken.is_some() && verbose {
        let state = world.state();
        world.lines.extend(state);
    }
    Outcome {
        broken: world.broken,
        coverage: world.coverage,
        lines: world.lines,
        took: world.now,
        events: world.events,
        faults,
    }
}

/// The same seed with as few faults as still break something.
pub fn shrink(seed: u64, given: Given) -> Outcome {
    take_out(given.without);
    let (settings, full) = draw(seed, given);
    let mut faults = full.faults.clone();
    let plan = |faults: &[Fault]| Plan {
        faults: faults.to_vec(),
        early: full.early,
        ..Plan::default()
    };
    let mut n = 0;
    while n < faults.len() {
        let mut fewer = faults.clone();
        let gone = fewer.remove(n);
        if let Some(next) = fewer.get_mut(n) {
            next.waits |= gone.waits;
        }
        if run_plan(seed, settings.clone(), plan(&fewer), false).broken.is_some() {
            faults = fewer;
        } else {
            n += 1;
        }
    }
    run_plan(seed, settings, plan(&faults), true)
}

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Sum {
    /// How many were run.
    pub runs: u64,
    /// Seeds that broke something, and what, in order.
    pub broken: Vec<(u64, String)>,
    /// What was seen.
    pub coverage: Coverage,
    /// Simulated time.
    pub simulated: Duration,
    /// Events.
    pub events: u64,
    /// Time that it took.
    pub took: Duration,
    /// On so many threads.
    pub threads: usize,
}

/// Runs these seeds on all cores, or on so many threads; up to the first that breaks something, or all of them.
pub fn many(seeds: Range<u64>, given: Given, threads: Option<usize>, all: bool) -> Sum {
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let sum = Mutex::new(Sum {
        threads,
        ..Sum::default()
    });
    take_out(given.without);
    let begun = Instant::now();
    let work = || {
        let mut own = Sum::default();
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let outcome = run_drawn(seed, given, false);
            own.coverage.add(&outcome.coverage);
            own.runs += 1;
            own.events += outcome.events;
            own.simulated += Duration::from_micros(outcome.took);
            if let Some(what) = outcome.broken {
                if given.without.is_none() {
                    eprintln!("seed {seed}: {what}");
                }
                own.broken.push((seed, what));
                stop.store(!all, Ordering::Relaxed);
            }
        }
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.coverage.add(&own.coverage);
        sum.runs += own.runs;
        sum.events += own.events;
        sum.simulated += own.simulated;
        sum.broken.extend(own.broken);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.broken.sort();
    sum.took = begun.elapsed();
    sum
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, hours) = (self.took.as_secs_f64(), self.simulated.as_secs_f64() / 3600.0);
        let pace = self.runs as f64 / seconds / self.threads as f64;
        writeln!(
            f,
            "{} runs in {seconds:.1} s on {} threads, {pace:.0} a second and thread; {hours:.0} simulated hours, {} events",
            self.runs, self.threads, self.events
        )?;
        write!(f, "{}", self.coverage)?;
        for (seed, what) in &self.broken {
            writeln!(f, "seed {seed}: {what}")?;
        }
        Ok(())
    }
}
