//! One fault, many times: what is kept of each run, the table of all, and what they must reach.

use crate::befall::Befallen;
use crate::report::{Table, spread};
use crate::syncs::Synced;
use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// The longest time without an acknowledged write, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// What half of the runs must reach.
    pub median: f64,
    /// What every run must reach.
    pub max: f64,
    /// Nothing failed: no plain write may be lost either, no reader of a healthy replica be cut, and no full sync be done
    /// without need.
    pub planned: bool,
}

/// One run. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Whose master.
    pub resource: String,
    /// From the fault until the new master was published, as a watch saw it; none if the master stayed.
    pub published: Option<f64>,
    /// The longest time without an acknowledgement, for a plain client.
    pub gap: f64,
    /// The same for one with WAIT 1.
    pub gap_wait: f64,
    /// The longest time in which a reader of the replicas got no answer.
    pub read_gap: f64,
    /// Cuts of readers of replicas that stayed healthy.
    pub healthy_cut: usize,
    /// Acknowledged writes of both.
    pub acknowledged: usize,
    /// Lost ones of the plain client.
    pub lost: usize,
    /// Lost ones that WAIT had acknowledged.
    pub lost_wait: usize,
    /// Moments with two masters: acknowledgements by two servers, two labels, two published addresses.
    pub two: usize,
    /// From the fault until everybody was a full member again.
    pub whole: f64,
    /// How replicas were synchronised.
    pub synced: Synced,
    /// Processes that joined, each of which needs one full sync.
    pub joined: usize,
    /// What only this fault has to show.
    pub more: Vec<(String, f64)>,
}

impl Run {
    /// What a trial has shown.
    pub fn of(resource: &str, befallen: Befallen) -> Result<Self> {
        let verdict = &befallen.verdict;
        let gap = |waited: bool| {
            let mut accounts = verdict.accounts.iter();
            let account = accounts.find(|account| account.wait.is_some() == waited);
            account
                .map(|account| ms(account.gap.length()))
                .context("a writer is missing")
        };
        Ok(Self {
            resource: resource.to_owned(),
            published: verdict.published().map(ms),
            gap: gap(false)?,
            gap_wait: gap(true)?,
            read_gap: ms(verdict.read_gap()),
            healthy_cut: verdict.healthy_cut().len(),
            acknowledged: verdict.accounts.iter().map(|it| it.balance.acknowledged).sum(),
            lost: verdict.lost(false),
            lost_wait: verdict.lost(true),
            two: verdict.two_masters.len() + verdict.seen.violations().len(),
            whole: ms(verdict.settled),
            synced: befallen.synced,
            joined: verdict.seen.lives.newer_than(&verdict.before.record),
            more: befallen.more,
        })
    }

    /// Full syncs beyond the one that each new process needs.
    pub fn needless(&self) -> usize {
        usize::try_from(self.synced.full)
            .unwrap_or(usize::MAX)
            .saturating_sub(self.joined)
    }
}

/// Adds something that is done to a file.
pub fn keep(done: &impl Serialize, file: &Path) -> Result<()> {
    let mut kept = OpenOptions::new().create(true).append(true).open(file)?;
    Ok(writeln!(kept, "{}", serde_json::to_string(done)?)?)
}

/// What a file has; nothing if there is no such file.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<Vec<T>> {
    let text = if file.exists() {
        fs::read_to_string(file)?
    } else {
        String::new()
    };
    let read = |line| serde_json::from_str(line).with_context(|| format!("a line of {}: {line}", file.display()));
    text.lines().map(read).collect()
}

/// The table of all.
pub fn table(runs: &[Run]) -> Table {
    let mut table = Table::new(&["ms after the fault", "min", "median", "max"]);
    type Figure = fn(&Run) -> Option<f64>;
    let rows: [(&str, Figure); 5] = [
        ("new master published", |run| run.published),
        ("write gap, plain", |run| Some(run.gap)),
        ("write gap, WAIT 1", |run| Some(run.gap_wait)),
        ("read gap", |run| Some(run.read_gap)),
        ("all of them full members again", |run| Some(run.whole)),
    ];
    for (what, figure) in rows {
        row(&mut table, what, runs.iter().filter_map(figure).collect());
    }
    let more = |number: usize| runs.iter().filter_map(move |run| run.more.get(number));
    let names = runs.first().map_or(&[][..], |run| &run.more);
    for (number, (what, _)) in names.iter().enumerate() {
        row(&mut table, what, more(number).map(|(_, figure)| *figure).collect());
    }
    table
}

/// The spread of some figures, if there are any.
pub(crate) fn row(table: &mut Table, what: &str, figures: Vec<f64>) {
    let whole = |figure: f64| format!("{figure:.0}");
    if let Some((least, median, most)) = spread(&figures) {
        table.row(&[what.to_owned(), whole(least), whole(median), whole(most)]);
    }
}

/// What was lost, in a sentence.
pub fn losses(runs: &[Run]) -> String {
    let sum = |of: fn(&Run) -> usize| runs.iter().map(of).sum::<usize>();
    let synced = runs.iter().fold(Synced::default(), |all, run| all + run.synced);
    format!(
        "{} runs, {} acknowledged writes. Lost: {} plain ones, {} that WAIT 1 had acknowledged. Moments with two masters: {}. Readers of healthy replicas cut: {}. \
Processes that joined: {}; full syncs: {}, partial ones: {}, refused: {}.",
        runs.len(),
        sum(|run| run.acknowledged),
        sum(|run| run.lost),
        sum(|run| run.lost_wait),
        sum(|run| run.two),
        sum(|run| run.healthy_cut),
        sum(|run| run.joined),
        synced.full,
        synced.partial,
        synced.refused
    )
}

/// All planned changes, in a sentence.
pub fn planned(runs: &[Run]) -> String {
    let sum = |of: fn(&Run) -> usize| runs.iter().map(of).sum::<usize>();
    format!(
        "Planned changes: {} runs, {} acknowledged writes, lost: {}. Readers of healthy replicas cut: {}. Full syncs without \
need: {}.",
        runs.len(),
        sum(|run| run.acknowledged),
        sum(|run| run.lost + run.lost_wait),
        sum(|run| run.healthy_cut),
        sum(Run::needless)
    )
}

/// Whether they reach what they must.
pub fn judge(runs: &[Run], bounds: Bounds) -> Result<()> {
    ensure!(
        runs.iter().all(|run| run.lost_wait == 0
            && run.two == 0
            && (!bounds.planned || run.lost + run.healthy_cut + run.needless() == 0)),
        "{}",
        losses(runs)
    );
    for gap in [|run: &Run| run.gap, |run: &Run| run.gap_wait] {
        let gaps: Vec<f64> = runs.iter().map(gap).collect();
        let (_, median, most) = spread(&gaps).context("no runs")?;
        ensure!(
            median <= bounds.median && most <= bounds.max,
            "write gap: median {median:.0} ms of {}, maximum {most:.0} ms of {}",
            bounds.median,
            bounds.max
        );
    }
    Ok(())
}

/// As the figures show it.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        median: 200.0,
        max: 1200.0,
        planned: false,
    };

    fn run() -> Run {
        Run {
            resource: "a".to_owned(),
            published: Some(90.0),
            gap: 150.0,
            gap_wait: 160.0,
            read_gap: 400.0,
            healthy_cut: 0,
            acknowledged: 1000,
            lost: 0,
            lost_wait: 0,
            two: 0,
            whole: 1500.0,
            synced: Synced {
                full: 1,
                partial: 2,
                refused: 0,
            },
            joined: 1,
            more: vec![("scaled".to_owned(), 5.0)],
        }
    }

    #[test]
    fn good_ones_pass() {
        judge(&[run(), Run { lost: 1, ..run() }, Run { gap: 1100.0, ..run() }], BOUNDS).unwrap();
    }

    #[test]
    fn bad_ones_do_not() {
        for bad in [
            Run { lost_wait: 1, ..run() },
            Run { two: 1, ..run() },
            Run { gap: 1201.0, ..run() },
            Run {
                gap_wait: 1201.0,
                ..run()
            },
        ] {
            assert!(judge(&[run(), run(), bad.clone()], BOUNDS).is_err(), "{bad:?}");
        }
        assert!(
            judge(
                &[Run { gap: 300.0, ..run() }, run(), Run { gap: 300.0, ..run() }],
                BOUNDS
            )
            .is_err(),
            "median"
        );
        assert!(judge(&[], BOUNDS).is_err());
    }

    #[test]
    fn a_planned_change_loses_nothing_and_cuts_no_healthy_reader() {
        let planned = Bounds {
            planned: true,
            ..BOUNDS
        };
        judge(&[run()], planned).unwrap();
        for bad in [
            Run { lost: 1, ..run() },
            Run {
                healthy_cut: 1,
                ..run()
            },
            Run { joined: 0, ..run() },
        ] {
            judge(std::slice::from_ref(&bad), BOUNDS).unwrap();
            assert!(judge(&[run(), bad], planned).is_err());
        }
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let file = std::env::temp_dir().join(format!("runs-{}", std::process::id()));
        assert_eq!(read::<Run>(&file).unwrap(), []);
        keep(&run(), &file).unwrap();
        keep(&run(), &file).unwrap();
        let read = read::<Run>(&file);
        fs::remove_file(&file).unwrap();
        assert_eq!(read.unwrap(), [run(), run()]);
    }
}
