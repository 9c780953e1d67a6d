//! Decisions that were made before: the same view gives the same plan and the same memory.

use crate::canon::Doc;
use redis_operator_core::memory::Memory;
use redis_operator_core::plan::Step;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// How many are kept.
const KEPT: usize = 400_000;

/// What one pass came to.
#[derive(Clone, Debug)]
pub struct Decided {
    /// What is remembered after it.
    pub memory: Arc<Doc<Memory>>,
    /// The plan.
    pub steps: Arc<[Arc<Doc<Step>>]>,
    /// Its reason.
    pub why: &'static str,
}

/// What is known already, by a hash of the view.
static KNOWN: LazyLock<[Mutex<HashMap<u64, Decided>>; 16]> = LazyLock::new(Default::default);

/// The decision on a view: the one before, or a new one. The hash of the view covers whatever `decide` depends on.
pub fn decided(view: u64, decide: impl FnOnce() -> Option<Decided>) -> Option<Decided> {
    let shard = KNOWN.get(usize::try_from(view >> 60).unwrap_or(0))?;
    if let Some(known) = shard.lock().unwrap_or_else(PoisonError::into_inner).get(&view) {
        return Some(known.clone());
    }
    let new = decide()?;
    let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
    if shard.len() > KEPT / 16 {
        shard.clear();
    }
    shard.insert(view, new.clone());
    Some(new)
}
