//! Breadth first over every interleaving, with fingerprints instead of worlds behind the front.

use crate::check;
use crate::config::Config;
use crate::world::{Action, World};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Worlds expanded between two merges.
const BLOCK: usize = 30_000;

/// A hasher for what is a hash already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

type Seen = HashMap<u64, u32, BuildHasherDefault<Already>>;

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At most so many states.
    pub states: usize,
    /// At most so long.
    pub time: Duration,
    /// Threads.
    pub threads: usize,
    /// Tell how far it is.
    pub progress: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every reachable world was seen, and nothing is wrong with any.
    Holds,
    /// A limit was reached first.
    CutOff(&'static str),
    /// This is wrong.
    Wrong(String),
    /// From this many worlds nothing leads to quiescence.
    Stuck(usize),
}

/// An exploration that is over.
#[derive(Debug)]
pub struct Explored {
    /// How it ended.
    pub verdict: Verdict,
    /// Worlds seen.
    pub states: usize,
    /// Actions of random walks.
    pub walked: u64,
    /// Steps from the first to the last of them.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The way to what is wrong, shortest.
    pub way: Vec<Action>,
    /// Why plans were made, and how often.
    pub reasons: BTreeMap<&'static str, u64>,
}

struct Next {
    print: u64,
    world: World,
    parent: u32,
    action: Action,
    good: bool,
    why: &'static str,
}

/// Bytes of worlds that may wait to be expanded.
const FRONT: usize = 6 << 30;

/// A world that is new for all that was known, or an edge to a known one.
type Reached = Result<Next, (u32, u32)>;

struct Search<'a> {
    config: &'a Config,
    limits: Limits,
    seen: Seen,
    parents: Vec<(u32, Action)>,
    /// From which world to which something leads that is no fault.
    edges: Vec<(u32, u32)>,
    quiet: Vec<u32>,
    begun: Instant,
    told: Instant,
    /// Why plans were made, and how often.
    reasons: BTreeMap<&'static str, u64>,
}

/// Explores everything that a configuration can come to.
///
/// # Errors
/// Its first world does not come to rest.
pub fn explore(config: &Config, limits: Limits) -> Result<Explored, String> {
    let first = crate::beginning::world(config)?;
    config.take_out()?;
    let mut search = Search {
        config,
        limits,
        seen: Seen::default(),
        parents: vec![(0, Action::Heal)],
        edges: vec![],
        quiet: vec![],
        begun: Instant::now(),
        told: Instant::now(),
        reasons: BTreeMap::new(),
    };
    search.seen.insert(first.fingerprint(config), 0);
    let mut front = vec![(0u32, first)];
    let mut depth = 0;
    while !front.is_empty() {
        search.report(depth, front.len());
        let mut behind = vec![];
        for block in front.chunks(BLOCK) {
            let found = search.expand(block);
            if let Some((at, what)) = search.merge(found, &mut behind) {
                return Ok(search.over(Verdict::Wrong(what), depth + 1, Some(at)));
            }
            if search.parents.len() > limits.states {
                return Ok(search.over(Verdict::CutOff("states"), depth, None));
            }
            // about as much again is held behind pointers that worlds share
            if (front.len() + behind.len()) * 2 * size_of::<World>() > FRONT {
                return Ok(search.over(Verdict::CutOff("memory"), depth, None));
            }
            if search.begun.elapsed() > limits.time {
                return Ok(search.over(Verdict::CutOff("time"), depth, None));
            }
        }
        front = behind;
        depth += 1;
    }
    if config.live {
        let stuck = crate::live::stuck(search.parents.len(), &search.edges, &search.quiet);
        if let Some(first) = stuck.first() {
            return Ok(search.over(Verdict::Stuck(stuck.len()), depth, Some(*first)));
        }
    }
    Ok(search.over(Verdict::Holds, depth, None))
}

impl Search<'_> {
    fn report(&mut self, depth: usize, front: usize) {
        if self.limits.progress && self.told.elapsed() > Duration::from_secs(2) {
            self.told = Instant::now();
            let (took, states) = (self.begun.elapsed().as_secs(), self.parents.len());
            eprintln!("    {took:>5} s  depth {depth:>3}  front {front:>9}  states {states:>10}");
        }
    }

    /// Successors of a block, those that are new for all that is known before it, by several threads.
    fn expand(&self, block: &[(u32, World)]) -> Vec<Vec<Reached>> {
        let cursor = AtomicUsize::new(0);
        let work = || {
            let mut out = vec![];
            loop {
                let at = cursor.fetch_add(256, Ordering::Relaxed);
                let part = block.get(at..block.len().min(at + 256)).unwrap_or(&[]);
                if part.is_empty() {
                    return out;
                }
                let mut reached = vec![];
                for (parent, world) in part {
                    self.successors(*parent, world, &mut reached);
                }
                out.push((at, reached));
            }
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..self.limits.threads).map(|_| scope.spawn(work)).collect();
            let mut parts: Vec<_> = all
                .into_iter()
                .flat_map(|thread| thread.join().expect("it ends"))
                .collect();
            // in the order of the block, whoever did it: the same exploration twice is the same
            parts.sort_unstable_by_key(|(at, _)| *at);
            parts.into_iter().map(|(_, reached)| reached).collect()
        })
    }

    fn successors(&self, parent: u32, world: &World, out: &mut Vec<Reached>) {
        for action in world.actions(self.config) {
            let mut next = world.clone();
            let plan = next.act(action, self.config);
            let print = next.fingerprint(self.config);
            match self.seen.get(&print) {
                Some(known) if action.is_progress() => out.push(Err((parent, *known))),
                Some(_) => {}
                None => out.push(Ok(Next {
                    print,
                    world: next,
                    parent,
                    action,
                    good: action.is_progress(),
                    why: plan.unwrap_or(""),
                })),
            }
        }
    }

    /// Takes in what is new. Returns the first that is wrong.
    fn merge(&mut self, found: Vec<Vec<Reached>>, front: &mut Vec<(u32, World)>) -> Option<(u32, String)> {
        for next in found.into_iter().flatten() {
            let next = match next {
                Ok(next) => next,
                Err(edge) => {
                    self.edge(edge);
                    continue;
                }
            };
            let id = u32::try_from(self.parents.len()).expect("limited");
            let known = *self.seen.entry(next.print).or_insert(id);
            if next.good {
                self.edge((next.parent, known));
            }
            if known != id {
                continue;
            }
            self.parents.push((next.parent, next.action));
            *self.reasons.entry(next.why).or_default() += 1;
            if let Some(what) = check::wrong(&next.world, !self.config.is_by_hand()) {
                return Some((id, what));
            }
            if self.config.live && check::is_quiet(&next.world) {
                self.quiet.push(id);
            }
            front.push((id, next.world));
        }
        None
    }

    fn edge(&mut self, edge: (u32, u32)) {
        if self.config.live && edge.0 != edge.1 {
            self.edges.push(edge);
        }
    }

    fn over(&self, verdict: Verdict, depth: usize, end: Option<u32>) -> Explored {
        let mut way = vec![];
        let mut at = end.unwrap_or(0);
        while let Some((parent, action)) = self.parents.get(at as usize).filter(|_| at != 0) {
            way.push(*action);
            at = *parent;
        }
        way.reverse();
        Explored {
            verdict,
            states: self.parents.len(),
            walked: 0,
            depth,
            took: self.begun.elapsed(),
            way,
            reasons: self.reasons.clone(),
        }
    }
}
