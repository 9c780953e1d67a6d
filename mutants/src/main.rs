//! Every mutant of the core in one build, one of them switched on at a time.
//!
//! cargo-mutants builds and links once for every mutant, which takes five times as long as the tests do. It lists what it
//! would change; here each of those changes is put beside the original behind `crate::__on(id)`, and everything is built
//! once. A mutant that cannot stand there (a constant, a wrong type) is left to cargo-mutants, as is any doubt: what is said
//! here is only that a test failed with a change switched on, or that none did.
//!
//! `mutants LIST NAMES`, in a copy of the sources, which it changes: LIST is `cargo mutants --list --json`, NAMES those to
//! try, one a line. Prints `caught`, `missed` or `timeout` and the name, one line each, as soon as it is known.

mod compile;
mod list;
mod run;
mod switch;

use anyhow::{Context as _, Result};
use list::Mutant;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::{fs, thread};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("usage: mutants LIST NAMES");
    let (list, names) = (next()?, next()?);
    let names = fs::read_to_string(&names).with_context(|| names.clone())?;
    let names: BTreeSet<&str> = names.lines().collect();
    let mut mutants = list::read(&list)?;
    mutants.retain(|mutant| names.contains(mutant.name.as_str()));
    let mut sources = BTreeMap::new();
    for mutant in &mutants {
        if !sources.contains_key(&mutant.file) {
            let text = fs::read_to_string(&mutant.file).with_context(|| mutant.file.clone())?;
            sources.insert(mutant.file.clone(), text);
        }
    }
    let switched = compile::switchable(&sources, mutants)?;
    eprintln!("{} of {} mutants are in one build", switched.len(), names.len());
    let tests = run::Tests::learn(&compile::tests()?)?;
    let alive = each(switched, |mutant| tests.quick(mutant.id))?;
    eprintln!("{} are left for the tests that take longer", alive.len());
    for mutant in &alive {
        eprintln!("  {}", mutant.name);
    }
    each(alive, |mutant| Ok(tests.slow(mutant.id)?.or(Some("missed"))))?;
    Ok(())
}

/// Tries each mutant, as many at a time as there are processors, and tells what became of it; those that nothing noticed
/// are left.
fn each(mutants: Vec<Mutant>, tried: impl Fn(&Mutant) -> Result<Option<&'static str>> + Sync) -> Result<Vec<Mutant>> {
    let queue = Mutex::new(mutants.into_iter());
    let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<Vec<Mutant>> {
        let mut left = vec![];
        while let Some(mutant) = take() {
            match tried(&mutant)? {
                Some(outcome) => println!("{outcome}\t{}", mutant.name),
                None => left.push(mutant),
            }
        }
        Ok(left)
    };
    thread::scope(|scope| {
        let count = thread::available_parallelism()?.get();
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        let mut left = vec![];
        for worker in workers {
            match worker.join() {
                Ok(found) => left.extend(found?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(left)
    })
}
