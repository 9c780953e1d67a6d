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
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

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
    let mut alive = vec![];
    for mutant in switched {
        match tests.quick(mutant.id)? {
            Some(outcome) => println!("{outcome}\t{}", mutant.name),
            None => alive.push(mutant),
        }
    }
    eprintln!("{} are left for the tests that take longer", alive.len());
    for mutant in &alive {
        eprintln!("  {}", mutant.name);
    }
    for mutant in alive {
        println!("{}\t{}", tests.slow(mutant.id)?.unwrap_or("missed"), mutant.name);
    }
    Ok(())
}
