//! Runs the tests with one mutant switched on: those that reach it, the quick ones first, until one fails.

use anyhow::{Context as _, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};

/// A test that takes longer waits until the others have passed. Seconds.
const QUICK: f64 = 0.05;

/// Processor time after which a mutant counts as one that never ends, in seconds: all tests together take a third of it. And
/// its memory, in KiB.
const LIMITS: &str = "ulimit -t 60 -v 8388608; exec \"$@\"";

/// The test binaries, and which of their tests reach which mutant.
pub(crate) struct Tests {
    binaries: Vec<Binary>,
}

struct Binary {
    path: String,
    /// Seconds that each takes without a mutant.
    takes: BTreeMap<String, f64>,
    reach: BTreeMap<u32, BTreeSet<String>>,
}

fn command(binary: &str) -> Command {
    let mut command = Command::new("sh");
    // libtest stops at a failure, and reports times, only if it may use what is not stable yet
    command.args(["-c", LIMITS, "sh", binary, "-Zunstable-options", "--test-threads=1"]);
    command
        .current_dir("operator/core")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

impl Tests {
    /// Runs all of them without a mutant: they have to pass.
    pub(crate) fn learn(paths: &[String]) -> Result<Self> {
        let mut binaries = vec![];
        for path in paths {
            let reached = format!("{path}.reached");
            fs::write(&reached, "")?;
            let output = command(path)
                .arg("--report-time")
                .env("MUTANTS_REACHED", &reached)
                .output()
                .context("sh")?;
            let text = String::from_utf8_lossy(&output.stdout);
            if !output.status.success() {
                bail!("{path} fails with no mutant switched on:\n{text}");
            }
            let takes: BTreeMap<String, f64> = text.lines().filter_map(time).collect();
            let mut reach: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
            for line in fs::read_to_string(&reached)?.lines() {
                let (test, id) = line.split_once('\t').context("a line of two words")?;
                if !takes.contains_key(test) {
                    bail!("mutant {id} is reached by {test:?} of {path}, which is no test");
                }
                reach.entry(id.parse()?).or_default().insert(test.to_owned());
            }
            binaries.push(Binary {
                path: path.clone(),
                takes,
                reach,
            });
        }
        Ok(Self { binaries })
    }

    /// What the quick tests make of this mutant: `caught`, `timeout`, or nothing.
    pub(crate) fn quick(&self, id: u32) -> Result<Option<&'static str>> {
        for binary in &self.binaries {
            let tests: Vec<&String> = binary.reaching(id, |seconds| seconds <= QUICK).collect();
            if !tests.is_empty()
                && let Some(outcome) = binary.run(id, &tests)?
            {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    /// And the others, one by one, that which takes longest last.
    pub(crate) fn slow(&self, id: u32) -> Result<Option<&'static str>> {
        for binary in &self.binaries {
            let mut tests: Vec<&String> = binary.reaching(id, |seconds| seconds > QUICK).collect();
            let takes = |test: &str| binary.takes.get(test).copied().unwrap_or_default();
            tests.sort_by(|a, b| takes(a).total_cmp(&takes(b)));
            for test in tests {
                if let Some(outcome) = binary.run(id, &[test])? {
                    return Ok(Some(outcome));
                }
            }
        }
        Ok(None)
    }
}

impl Binary {
    /// The tests that reach this mutant and take so long.
    fn reaching(&self, id: u32, so_long: impl Fn(f64) -> bool) -> impl Iterator<Item = &String> {
        let reach = self.reach.get(&id).into_iter().flatten();
        reach.filter(move |test| self.takes.get(*test).is_some_and(|it| so_long(*it)))
    }

    fn run(&self, id: u32, tests: &[&String]) -> Result<Option<&'static str>> {
        let mut run = command(&self.path);
        run.args(["--fail-fast", "--quiet", "--exact"]).args(tests);
        let status = run.stdout(Stdio::null()).env("MUTANTS_ON", id.to_string()).status()?;
        Ok(match status.code() {
            Some(0) => None,
            None if is_timeout(status) => Some("timeout"),
            Some(_) | None => Some("caught"),
        })
    }
}

/// The kernel ended it because its processor time was used up.
fn is_timeout(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    const SIGXCPU: i32 = 24;
    const SIGKILL: i32 = 9;
    matches!(status.signal(), Some(SIGXCPU | SIGKILL))
}

/// Name and seconds of `test NAME ... ok <0.012s>`.
fn time(line: &str) -> Option<(String, f64)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let seconds = rest.split_once('<')?.1.split_once('s')?.0.parse().ok()?;
    Some((name.to_owned(), seconds))
}
