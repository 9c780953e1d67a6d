//! Passes: observe, decide, execute, again and again until nothing is left to do.
//!
//! Generic over everything outside: no clock, no socket and no runtime, so that a simulation and tests over real
//! processes run the very loop that the controller runs.

use crate::error::Error;
use crate::execute::{Api, Done, Failure, Servers, execute};
use redis_operator_core::decide::decide;
use redis_operator_core::memory::Memory;
use redis_operator_core::observed::Observed;
use redis_operator_core::plan::{Plan, Step};
use std::future::Future;
use std::time::Duration;

/// A pass that plans something is followed by another at once, but not for ever: others want their turn.
const PASSES: usize = 40;
/// Whoever was faster so often will be again.
const CONFLICTS: usize = 5;
/// The turn of the others.
const TURN: Duration = Duration::from_millis(5);
/// After a failure, of a pass as well: soon, and not in a busy loop.
pub const AFTER_FAILURE: Duration = Duration::from_millis(200);
/// A pass without a cause, from caches and held connections alone: insurance against a lost wake-up.
const AT_LEAST: Duration = Duration::from_secs(10);
/// While a proof is waited for that no event announces.
const WHILE_WAITING: Duration = Duration::from_secs(1);
/// While an object cannot be put right.
const WHILE_STALLED: Duration = Duration::from_secs(2);

/// One resource as passes see it.
pub trait Scene: Send {
    /// What is remembered of the passes before. Passes keep it; whoever implements this only holds it.
    fn memory(&mut self) -> &mut Memory;

    /// Everything that a decision may read, but for the memory. None: the resource is gone. A wake-up that comes later
    /// than the beginning of this call asks for another pass.
    fn observe(&mut self) -> impl Future<Output = Result<Option<Observed>, Error>> + Send;

    /// A plan that will be carried out next; it may be empty.
    fn decided(&mut self, seen: &Observed, plan: &Plan);

    /// What came of a step of it.
    fn told(&mut self, seen: &Observed, plan: &Plan, step: &Step, done: &Done);

    /// How a plan that was carried out ended.
    fn ended(&mut self, plan: &Plan, done: &Done);

    /// A proof is waited for that no event announces.
    fn waits(&self) -> bool;

    /// Puts objects right and reports. Only this is dropped halfway, when a wake-up comes: never a record, a command or a
    /// publication.
    fn settle(&mut self, seen: &Observed, plan: &Plan) -> impl Future<Output = Result<Settled, Error>> + Send;
}

/// What came of putting objects right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Everything is as it should be.
    Done,
    /// Something stalls and deserves a look soon.
    Stalled,
    /// A wake-up came.
    Woken,
}

/// Passes until nothing is left to do. Returns when to look again if nothing calls before; nothing for a resource that
/// is gone.
///
/// # Errors
/// The API server could not be read: [`AFTER_FAILURE`] is soon enough.
pub async fn run(scene: &mut impl Scene, servers: &impl Servers, api: &impl Api) -> Result<Option<Duration>, Error> {
    let mut conflicts = 0;
    for _ in 0..PASSES {
        let Some((seen, plan)) = look(scene).await? else {
            return Ok(None);
        };
        let done = act(scene, servers, api, &seen, &plan).await;
        conflicts = if done.is_err() { conflicts + 1 } else { 0 };
        let rest = match rest(scene.waits(), &plan, &done) {
            Some(rest) => rest,
            None if conflicts > CONFLICTS => AFTER_FAILURE,
            None => continue,
        };
        return scene.settle(&seen, &plan).await.map(|settled| match settled {
            Settled::Done => Some(rest),
            Settled::Stalled => Some(rest.min(WHILE_STALLED)),
            Settled::Woken => Some(Duration::ZERO),
        });
    }
    Ok(Some(TURN))
}

/// First half of a pass: observes and decides.
///
/// # Errors
/// The API server could not be read.
pub async fn look(scene: &mut impl Scene) -> Result<Option<(Observed, Plan)>, Error> {
    let Some(mut seen) = scene.observe().await? else {
        return Ok(None);
    };
    let memory = scene.memory();
    memory.note(&seen);
    seen.memory.clone_from(memory);
    let plan = decide(&seen);
    memory.settle(&seen, &plan);
    Ok(Some((seen, plan)))
}

/// Second half: carries the plan out.
///
/// # Errors
/// As [`execute`].
pub async fn act(scene: &mut impl Scene, servers: &impl Servers, api: &impl Api, seen: &Observed, plan: &Plan) -> Done {
    scene.decided(seen, plan);
    let told = |step: &Step, done: &Done| scene.told(seen, plan, step, done);
    let done = execute(plan, servers, api, told).await;
    scene.ended(plan, &done);
    done
}

/// How long to wait for a wake-up after a pass; none if the next one follows at once. `waits` as of its [`Scene`].
pub fn rest(waits: bool, plan: &Plan, done: &Done) -> Option<Duration> {
    let rest = match done {
        Err(Failure::Conflict(_)) => return None,
        Ok(()) if !plan.steps.is_empty() => return None,
        Ok(()) => plan.wake.unwrap_or(AT_LEAST).min(AT_LEAST),
        Err(Failure::Stale(_) | Failure::NotConnected(_) | Failure::Server { .. } | Failure::Api(_)) => AFTER_FAILURE,
    };
    Some(if waits { rest.min(WHILE_WAITING) } else { rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pass_follows_at_once_or_after_a_while() {
        let idle = Plan::default();
        let busy = Plan {
            steps: vec![Step::TouchSlice],
            ..Plan::default()
        };
        let soon = Plan {
            wake: Some(Duration::from_millis(3)),
            ..Plan::default()
        };
        assert_eq!(rest(false, &busy, &Ok(())), None);
        assert_eq!(rest(true, &busy, &Err(Failure::Conflict("the record"))), None);
        assert_eq!(rest(false, &idle, &Ok(())), Some(AT_LEAST));
        assert_eq!(rest(true, &idle, &Ok(())), Some(WHILE_WAITING));
        assert_eq!(rest(true, &soon, &Ok(())), soon.wake);
        assert_eq!(rest(false, &busy, &Err(Failure::Stale("a pod"))), Some(AFTER_FAILURE));
    }
}
