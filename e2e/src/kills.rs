//! Many kills of masters: what is kept of each, the table of all, and what they must reach.

use crate::report::{Table, spread};
use crate::trial::Verdict;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// What every failover must reach, in milliseconds: the longest time without an acknowledged write.
const MAX_GAP: f64 = 1200.0;
/// What half of them must reach.
const MEDIAN_GAP: f64 = 200.0;

/// One kill. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kill {
    /// Whose master.
    pub resource: String,
    /// From the kill until the new master was published, as a watch saw it.
    pub published: f64,
    /// The longest time without an acknowledgement, for a plain client.
    pub gap: f64,
    /// The same for one with WAIT 1.
    pub gap_wait: f64,
    /// Acknowledged writes of both.
    pub acknowledged: usize,
    /// Lost ones of the plain client.
    pub lost: usize,
    /// Lost ones that WAIT had acknowledged.
    pub lost_wait: usize,
    /// Moments with two masters: acknowledgements by two servers, two labels, two published addresses.
    pub two: usize,
    /// From the kill until everybody was a full member again.
    pub whole: f64,
}

impl Kill {
    /// What a trial has shown.
    pub fn of(resource: &str, verdict: &Verdict) -> Result<Self> {
        let gap = |waited: bool| {
            let mut accounts = verdict.accounts.iter();
            let account = accounts.find(|account| account.wait.is_some() == waited);
            account
                .map(|account| ms(account.gap.length()))
                .context("a writer is missing")
        };
        Ok(Self {
            resource: resource.to_owned(),
            published: ms(verdict.published().context("nobody was published")?),
            gap: gap(false)?,
            gap_wait: gap(true)?,
            acknowledged: verdict.accounts.iter().map(|it| it.balance.acknowledged).sum(),
            lost: verdict.lost(false),
            lost_wait: verdict.lost(true),
            two: verdict.two_masters.len() + verdict.seen.violations().len(),
            whole: ms(verdict.settled),
        })
    }

    /// Adds it to a file.
    pub fn keep(&self, file: &Path) -> Result<()> {
        let mut kept = OpenOptions::new().create(true).append(true).open(file)?;
        Ok(writeln!(kept, "{}", serde_json::to_string(self)?)?)
    }
}

/// The kills of a file; none if there is no such file.
pub fn read(file: &Path) -> Result<Vec<Kill>> {
    let text = if file.exists() {
        fs::read_to_string(file)?
    } else {
        String::new()
    };
    let read = |line| serde_json::from_str(line).with_context(|| format!("a line of {}: {line}", file.display()));
    text.lines().map(read).collect()
}

/// The table of all.
pub fn table(kills: &[Kill]) -> Table {
    let mut table = Table::new(&["ms after the kill", "min", "median", "max"]);
    type Figure = fn(&Kill) -> f64;
    let rows: [(&str, Figure); 4] = [
        ("new master published", |kill| kill.published),
        ("write gap, plain", |kill| kill.gap),
        ("write gap, WAIT 1", |kill| kill.gap_wait),
        ("three full members again", |kill| kill.whole),
    ];
    for (what, figure) in rows {
        let figures: Vec<f64> = kills.iter().map(figure).collect();
        let (least, median, most) = spread(&figures).unwrap_or_default();
        let whole = |figure: f64| format!("{figure:.0}");
        table.row(&[what.to_owned(), whole(least), whole(median), whole(most)]);
    }
    table
}

/// What was lost, in a sentence.
pub fn losses(kills: &[Kill]) -> String {
    let sum = |of: fn(&Kill) -> usize| kills.iter().map(of).sum::<usize>();
    format!(
        "{} kills, {} acknowledged writes. Lost: {} plain ones, {} that WAIT 1 had acknowledged. Moments with two masters: {}.",
        kills.len(),
        sum(|kill| kill.acknowledged),
        sum(|kill| kill.lost),
        sum(|kill| kill.lost_wait),
        sum(|kill| kill.two)
    )
}

/// Whether they reach what they must.
pub fn judge(kills: &[Kill]) -> Result<()> {
    ensure!(
        kills.iter().all(|kill| kill.lost_wait == 0 && kill.two == 0),
        "{}",
        losses(kills)
    );
    for gap in [|kill: &Kill| kill.gap, |kill: &Kill| kill.gap_wait] {
        let gaps: Vec<f64> = kills.iter().map(gap).collect();
        let (_, median, most) = spread(&gaps).context("no kills")?;
        ensure!(
            median <= MEDIAN_GAP && most <= MAX_GAP,
            "write gap: median {median:.0} ms of {MEDIAN_GAP}, maximum {most:.0} ms of {MAX_GAP}"
        );
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill() -> Kill {
        Kill {
            resource: "a".to_owned(),
            published: 90.0,
            gap: 150.0,
            gap_wait: 160.0,
            acknowledged: 1000,
            lost: 0,
            lost_wait: 0,
            two: 0,
            whole: 1500.0,
        }
    }

    #[test]
    fn good_ones_pass() {
        judge(&[kill(), Kill { lost: 1, ..kill() }, Kill { gap: 1100.0, ..kill() }]).unwrap();
    }

    #[test]
    fn bad_ones_do_not() {
        for bad in [
            Kill { lost_wait: 1, ..kill() },
            Kill { two: 1, ..kill() },
            Kill { gap: 1201.0, ..kill() },
            Kill {
                gap_wait: 1201.0,
                ..kill()
            },
        ] {
            assert!(judge(&[kill(), kill(), bad.clone()]).is_err(), "{bad:?}");
        }
        assert!(
            judge(&[Kill { gap: 300.0, ..kill() }, kill(), Kill { gap: 300.0, ..kill() }]).is_err(),
            "median"
        );
        assert!(judge(&[]).is_err());
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let file = std::env::temp_dir().join(format!("kills-{}", std::process::id()));
        assert_eq!(read(&file).unwrap(), []);
        kill().keep(&file).unwrap();
        kill().keep(&file).unwrap();
        let read = read(&file);
        fs::remove_file(&file).unwrap();
        assert_eq!(read.unwrap(), [kill(), kill()]);
    }
}
