//! One seed, many seeds, and the shortest story of one that fails.

use crate::coverage::Coverage;
use crate::faults::{Fault, Plan};
use crate::settings::{Class, Settings};
use crate::world::{Time, World};

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

/// Settings that a caller wants otherwise than the seed does.
pub type Change = fn(&mut Settings);

/// Runs a seed as it is.
pub fn run(seed: u64, class: Option<Class>, verbose: bool) -> Outcome {
    let (settings, plan) = draw(seed, class);
    run_plan(seed, settings, plan, verbose)
}

fn draw(seed: u64, class: Option<Class>) -> (Settings, Plan) {
    let mut settings = Settings::draw(seed);
    settings.class = class.unwrap_or(settings.class);
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
pub fn shrink(seed: u64, class: Option<Class>) -> Outcome {
    let (settings, full) = draw(seed, class);
    let mut faults = full.faults.clone();
    let plan = |faults: &[Fault]| Plan { faults: faults.to_vec(), early: full.early, ..Plan::default() };
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
