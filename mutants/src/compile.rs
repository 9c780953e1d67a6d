//! Builds with the switches in: what the compiler refuses is left out, until it refuses nothing.

use crate::list::Mutant;
use crate::switch::{ON, switch};
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};

const LIB: &str = "operator/core/src/lib.rs";
const TESTS: [&str; 8] = [
    "--lib",
    "--test=protocol",
    "--test=crd",
    "--test=examples",
    "--test=manifests",
    "--test=written",
    "--test=objects",
    "--test=built",
];

#[derive(Deserialize)]
struct Message {
    message: Option<Diagnostic>,
    executable: Option<String>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: String,
    spans: Vec<Lines>,
}

#[derive(Deserialize)]
struct Lines {
    file_name: String,
    line_start: usize,
    line_end: usize,
    is_primary: bool,
}

/// The mutants that the sources compile with, all at once; the sources are left with these in them.
pub(crate) fn switchable(sources: &BTreeMap<String, String>, mutants: Vec<Mutant>) -> Result<Vec<Mutant>> {
    let lib = fs::read_to_string(LIB).context(LIB)?;
    let mut left: Vec<Mutant> = mutants;
    loop {
        let mut placed = BTreeSet::new();
        let mut written = BTreeMap::new();
        for (file, source) in sources {
            let here: Vec<&Mutant> = left.iter().filter(|mutant| mutant.file == *file).collect();
            let (text, ids) = switch(source, &here).with_context(|| file.clone())?;
            fs::write(file, &text)?;
            placed.extend(ids);
            written.insert(file.clone(), text);
        }
        left.retain(|mutant| placed.contains(&mutant.id));
        let with = written.get(LIB).unwrap_or(&lib).clone() + ON;
        fs::write(LIB, with)?;
        let refused = refused(&written)?;
        if refused.is_empty() {
            return Ok(left);
        }
        eprintln!("{} do not stand beside the original", refused.len());
        left.retain(|mutant| !refused.contains(&mutant.id));
    }
}

fn cargo(arguments: &[&str]) -> Result<(bool, Vec<Message>)> {
    let output = Command::new("cargo")
        .args(arguments)
        .args([
            "--locked",
            "--profile=mutants",
            "--package=redis-operator-core",
            "--message-format=json",
        ])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    Ok((output.status.success(), messages))
}

/// The ids at which the compiler found an error.
fn refused(written: &BTreeMap<String, String>) -> Result<BTreeSet<u32>> {
    let (fine, messages) = cargo(&["test", "--quiet", "--no-run", "--test=examples"])?;
    let mut ids = BTreeSet::new();
    let mut rest = String::new();
    for error in messages.into_iter().filter_map(|message| message.message) {
        if error.level != "error" {
            continue;
        }
        let found = error
            .spans
            .iter()
            .filter(|span| span.is_primary)
            .filter_map(|span| Some(at(written.get(&span.file_name)?, span)))
            .flatten()
            .collect::<BTreeSet<u32>>();
        if found.is_empty() {
            rest += &error.rendered;
        }
        ids.extend(found);
    }
    if ids.is_empty() && !fine {
        bail!("the core does not compile with its mutants in it:\n{rest}");
    }
    Ok(ids)
}

/// The mutants that stand on these lines, or else the one before.
fn at(text: &str, span: &Lines) -> BTreeSet<u32> {
    let ids = |line: &str| -> Option<u32> { line.split_once("crate::__on(")?.1.split_once(')')?.0.parse().ok() };
    let lines: Vec<&str> = text.lines().take(span.line_end).collect();
    let within: BTreeSet<u32> = lines
        .iter()
        .skip(span.line_start - 1)
        .filter_map(|line| ids(line))
        .collect();
    if within.is_empty() {
        lines.iter().rev().find_map(|line| ids(line)).into_iter().collect()
    } else {
        within
    }
}

/// The tests' binaries.
pub(crate) fn tests() -> Result<Vec<String>> {
    let mut arguments = vec!["test", "--quiet", "--no-run"];
    arguments.extend(TESTS);
    let (fine, messages) = cargo(&arguments)?;
    let binaries: Vec<String> = messages.into_iter().filter_map(|message| message.executable).collect();
    if !fine || binaries.is_empty() {
        bail!("the tests do not compile with the mutants in the core");
    }
    Ok(binaries)
}
