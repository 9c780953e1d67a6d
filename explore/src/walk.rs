//! Random walks: where breadth first is too broad, chance goes deep. What a walk comes to is made as short as it can be.

use crate::beginning;
use crate::check;
use crate::config::Config;
use crate::search::{Explored, Limits, Verdict};
use crate::world::{Action, World};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Actions of one walk.
const LENGTH: u64 = 240;

/// What this walk lets happen, and when: another part of everything in each.
struct Mood {
    seed: u64,
    /// What has to come begins within so many actions.
    begins: u64,
    /// Time passes in one of so many actions in which something else could happen.
    hourglass: u32,
}

impl Mood {
    fn new(rng: &mut Rng) -> Self {
        Self {
            seed: rng.u64(..),
            begins: 15 << rng.u32(0..4),
            hourglass: 3 << rng.u32(0..4),
        }
    }

    /// This action may happen now. That a former leader stops by itself leads nowhere.
    fn lets(&self, n: u64, world: &World, action: Action) -> bool {
        let (kind, forced) = match action {
            Action::Stop(_) => return false,
            Action::Tick(_) => return true,
            Action::Step(k) | Action::Pass(k, _) | Action::Read(k) if k == world.leader => return true,
            Action::Step(k) | Action::Pass(k, _) | Action::Read(k) => (Action::Step(k), true),
            _ if action.is_fault() => (Action::Restart, true),
            _ => (action, !action.is_progress()),
        };
        let mut hash = DefaultHasher::new();
        (self.seed, kind, world.faults).hash(&mut hash);
        let mut rng = Rng::with_seed(hash.finish());
        let delayed = forced || rng.u32(0..4) == 0;
        !delayed || n >= rng.u64(0..self.begins)
    }
}

/// What all threads have come to.
#[derive(Default)]
struct Sum {
    walks: AtomicU64,
    actions: AtomicU64,
    over: AtomicBool,
    found: Mutex<BTreeMap<u64, (Vec<Action>, String)>>,
    reasons: Mutex<BTreeMap<&'static str, u64>>,
}

/// Walks until something is wrong or a limit is reached.
///
/// # Errors
/// Its first world does not come to rest.
pub fn walk(config: &Config, limits: Limits) -> Result<Explored, String> {
    let first = beginning::world(config)?;
    config.take_out()?;
    let (begun, sum) = (Instant::now(), Sum::default());
    let goes_on = || !sum.over.load(Ordering::Relaxed) && begun.elapsed() < limits.time;
    std::thread::scope(|scope| {
        for _ in 0..limits.threads {
            scope.spawn(|| many(config, &first, &sum, goes_on));
        }
        let mut told = Instant::now();
        while limits.progress && goes_on() {
            std::thread::sleep(Duration::from_millis(50));
            if told.elapsed() > Duration::from_secs(2) {
                told = Instant::now();
                sum.report(begun.elapsed());
            }
        }
    });
    let found = held(&sum.found).pop_first();
    let (verdict, way) = match found {
        Some((_, (way, what))) => {
            let (way, less) = shorter(config, &first, way);
            (Verdict::Wrong(less.unwrap_or(what)), way)
        }
        None => (Verdict::CutOff("time"), vec![]),
    };
    Ok(Explored {
        verdict,
        states: 0,
        walked: sum.actions.into_inner(),
        depth: way.len(),
        took: begun.elapsed(),
        way,
        reasons: std::mem::take(&mut held(&sum.reasons)),
    })
}

impl Sum {
    fn report(&self, took: Duration) {
        let (walks, actions) = (self.walks.load(Ordering::Relaxed), self.actions.load(Ordering::Relaxed));
        eprintln!("    {:>5} s  walks {walks:>9}  actions {actions:>11}", took.as_secs());
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The walks of one thread.
fn many(config: &Config, first: &World, sum: &Sum, goes_on: impl Fn() -> bool) {
    let mut reasons = BTreeMap::new();
    while goes_on() {
        let seed = sum.walks.fetch_add(1, Ordering::Relaxed);
        let (way, wrong) = one(config, first.clone(), seed, &mut reasons);
        sum.actions.fetch_add(way.len() as u64, Ordering::Relaxed);
        if let Some(what) = wrong {
            sum.over.store(true, Ordering::Relaxed);
            held(&sum.found).insert(seed, (way, what));
        }
    }
    let mut all = held(&sum.reasons);
    reasons
        .into_iter()
        .for_each(|(why, times)| *all.entry(why).or_default() += times);
}

fn wrong(config: &Config, world: &World) -> Option<String> {
    check::wrong(world, !config.is_by_hand())
}

/// One walk, up to its first wrong world if there is one.
fn one(
    config: &Config,
    mut world: World,
    seed: u64,
    reasons: &mut BTreeMap<&'static str, u64>,
) -> (Vec<Action>, Option<String>) {
    let mut rng = Rng::with_seed(seed);
    let mood = Mood::new(&mut rng);
    let mut way = vec![];
    for n in 0..LENGTH {
        let mut all = world.actions(config);
        all.retain(|action| mood.lets(n, &world, *action));
        let waits = rng.u32(0..mood.hourglass) == 0;
        if !waits && all.iter().any(|action| !matches!(action, Action::Tick(_))) {
            all.retain(|action| !matches!(action, Action::Tick(_)));
        }
        let Some(action) = rng.choice(all) else { continue };
        if let Some(why) = world.act(action, config) {
            *reasons.entry(why).or_default() += 1;
        }
        way.push(action);
        if let Some(what) = wrong(config, &world) {
            return (way, Some(what));
        }
    }
    (way, None)
}

/// Without every action without which something is still wrong, and what that is.
fn shorter(config: &Config, first: &World, way: Vec<Action>) -> (Vec<Action>, Option<String>) {
    let mut best = again(config, first, &way);
    for size in [32, 8, 2, 1, 1] {
        let mut at = 0;
        while at < best.0.len() {
            let mut tried = best.0.clone();
            tried.drain(at..(at + size).min(best.0.len()));
            let went = again(config, first, &tried);
            if went.1.is_some() {
                best = went;
            } else {
                at += size;
            }
        }
    }
    best
}

/// Goes those of a way's actions that can happen, up to the first wrong world: which they were, and what is wrong.
fn again(config: &Config, first: &World, way: &[Action]) -> (Vec<Action>, Option<String>) {
    let (mut world, mut done) = (first.clone(), vec![]);
    for action in way {
        if !world.actions(config).contains(action) {
            continue;
        }
        world.act(*action, config);
        done.push(*action);
        if let Some(what) = wrong(config, &world) {
            return (done, Some(what));
        }
    }
    (done, None)
}
