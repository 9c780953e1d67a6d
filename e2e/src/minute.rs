//! Minutes in which nothing fails, however much it looks so: what is kept of each, and what all of them must have in common.

use crate::client::Does;
use crate::history::History;
use crate::log::{self, Micros};
use crate::nuisance::{LIMIT, LOAD, Nuisance, Span, happen};
use crate::observer::{LABELLED, PUBLISHED};
use crate::operator;
use crate::report::Table;
use crate::runs::{self, ms};
use crate::subject::Subject;
use crate::trial::{self, Expect, Verdict};
use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// What a client may still feel of a thing that is over.
const AFTERWARDS: Micros = 3_000_000;
/// How a reader is cut that had no answer for half a second: it hangs up by itself, and on a busy machine that is no news.
const TIMEOUT: &str = "timeout";
/// Writes before the first one.
const WARM_UP: Duration = Duration::from_secs(1);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What.
    pub what: Nuisance,
    /// How long it took, in milliseconds.
    pub took: f64,
    /// The longest time around it without an acknowledged write, in milliseconds.
    pub gap: f64,
}

/// What became of one minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Minute {
    /// Uid of the resource: terms of one are compared over all of its minutes.
    pub resource: String,
    /// The record's term before and after.
    pub terms: (u64, u64),
    /// Times at which another one was labelled as master, or published.
    pub promoted: usize,
    /// What happened.
    pub events: Vec<Event>,
    /// The longest time without an acknowledgement, for either of the two clients.
    pub gap: f64,
    /// Acknowledged writes of both.
    pub acknowledged: usize,
    /// Those that are gone.
    pub lost: usize,
    /// How readers of replicas were cut, and how often.
    pub cuts: BTreeMap<String, usize>,
    /// Moments with two masters, and values that are there twice or were never sent.
    pub wrong: usize,
}

impl Minute {
    /// Fills a new resource with the data that is changed all the time.
    pub async fn prepare(subject: &Subject, limit: Duration) -> Result<()> {
        let settled = subject.settled(limit).await?;
        spawn_blocking(move || LOAD.fill(&settled.master)).await?
    }

    /// One minute; its number says when the operator has its turn.
    pub async fn pass(subject: &Subject, number: u64) -> Result<Self> {
        operator::ready(&subject.space.cluster, LIMIT).await?;
        let settled = subject.settled(LIMIT).await?;
        let stream = subject.client(&settled, "bulk", Does::Stream(LOAD)).await?;
        let mut spans = vec![];
        let verdict = trial::under_writes(subject, Expect::Anyone, WARM_UP, async |before| {
            let at = log::now();
            spans = happen(subject, before, number).await?;
            Ok(at)
        })
        .await?;
        stream.stop().await?;
        Self::of(&verdict, &spans)
    }

    fn of(verdict: &Verdict, spans: &[Span]) -> Result<Self> {
        ensure!(verdict.seen.blind == 0, "a watch was interrupted: it proves nothing");
        let others = |title| verdict.seen.succession(title).len().saturating_sub(1);
        let event = |span: &Span| Event {
            what: span.what,
            took: ms(Duration::from_micros(span.to.saturating_sub(span.from))),
            gap: around(verdict, span),
        };
        Ok(Self {
            resource: verdict.before.redis.uid().context("a uid")?,
            terms: (verdict.before.record.term, verdict.after.record.term),
            promoted: others(LABELLED).max(others(PUBLISHED)),
            events: spans.iter().map(event).collect(),
            gap: ms(verdict.gap()),
            acknowledged: verdict.accounts.iter().map(|it| it.balance.acknowledged).sum(),
            lost: verdict.lost(false) + verdict.lost(true),
            cuts: cuts(verdict),
            wrong: wrong(verdict),
        })
    }
}

fn around(verdict: &Verdict, span: &Span) -> f64 {
    let gap = |history: &History| history.gap(span.from, span.to.saturating_add(AFTERWARDS));
    let gaps = verdict.accounts.iter().map(|it| gap(&it.history).length());
    ms(gaps.max().unwrap_or_default())
}

fn cuts(verdict: &Verdict) -> BTreeMap<String, usize> {
    let mut cuts = BTreeMap::new();
    for cut in verdict.healthy_cut() {
        *cuts.entry(cut.kind.clone()).or_default() += 1;
    }
    cuts
}

fn wrong(verdict: &Verdict) -> usize {
    let balances = verdict.accounts.iter().map(|it| &it.balance);
    let odd: usize = balances.map(|it| it.doubled.len() + it.foreign.len()).sum();
    odd + verdict.two_masters.len() + verdict.seen.violations().len()
}

/// How long each thing took and what clients felt of it.
pub fn table(minutes: &[Minute]) -> Table {
    let mut table = Table::new(&["ms", "min", "median", "max"]);
    for what in Nuisance::ALL {
        let of = |figure: fn(&Event) -> f64| -> Vec<f64> {
            let events = minutes.iter().flat_map(|minute| &minute.events);
            events.filter(|event| event.what == what).map(figure).collect()
        };
        runs::row(&mut table, &format!("{}: takes", what.title()), of(|event| event.took));
        runs::row(
            &mut table,
            &format!("{}: write gap", what.title()),
            of(|event| event.gap),
        );
    }
    let gaps = minutes.iter().map(|minute| minute.gap).collect();
    runs::row(&mut table, "longest write gap of a minute", gaps);
    table
}

/// All of them in some sentences.
pub fn told(minutes: &[Minute]) -> String {
    let events = minutes.iter().flat_map(|minute| &minute.events);
    let happened = counted(events.map(|event| (event.what.title(), 1)));
    let cuts = minutes.iter().flat_map(|minute| &minute.cuts);
    let cuts = counted(cuts.map(|(kind, count)| (kind.as_str(), *count)));
    let sum = |of: fn(&Minute) -> usize| minutes.iter().map(of).sum::<usize>();
    let terms: Vec<_> = terms(minutes)
        .values()
        .map(|(first, last)| format!("{first} before, {last} after"))
        .collect();
    format!(
        "{} minutes, {} acknowledged writes. {}. Term: {}. Others promoted: {}. Lost: {}. Readers of replicas cut: {}. \
Moments with two masters, doubled or foreign values: {}.",
        minutes.len(),
        sum(|it| it.acknowledged),
        happened,
        terms.join("; "),
        sum(|it| it.promoted),
        sum(|it| it.lost),
        cuts,
        sum(|it| it.wrong),
    )
}

/// Sums by name: `a: 2, b: 1`.
fn counted<'a>(counts: impl Iterator<Item = (&'a str, usize)>) -> String {
    let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, count) in counts {
        *sums.entry(name).or_default() += count;
    }
    let sums: Vec<_> = sums.iter().map(|(name, sum)| format!("{name}: {sum}")).collect();
    if sums.is_empty() {
        "none".to_owned()
    } else {
        sums.join(", ")
    }
}

/// The first and the last term of each resource.
fn terms(minutes: &[Minute]) -> BTreeMap<&str, (u64, u64)> {
    let mut terms = BTreeMap::new();
    for minute in minutes {
        let (_, last) = terms.entry(minute.resource.as_str()).or_insert(minute.terms);
        *last = minute.terms.1;
    }
    terms
}

/// Whether anything was taken for a failure, in one of them or between two, or anybody lost anything.
pub fn judge(minutes: &[Minute]) -> Result<()> {
    let good = |it: &Minute| {
        it.promoted + it.lost + it.wrong == 0
            && it.cuts.keys().all(|kind| kind == TIMEOUT)
            && it.events.len() == Nuisance::EACH
    };
    ensure!(
        !minutes.is_empty() && minutes.iter().all(good) && terms(minutes).values().all(|(first, last)| first == last),
        "false alarms: {}",
        told(minutes)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(kind: &str) -> BTreeMap<String, usize> {
        [(kind.to_owned(), 1)].into()
    }

    fn minute() -> Minute {
        let event = |what| Event {
            what,
            took: 1500.0,
            gap: 20.0,
        };
        Minute {
            resource: "u".to_owned(),
            terms: (1, 1),
            promoted: 0,
            events: Nuisance::ALL.into_iter().take(Nuisance::EACH).map(event).collect(),
            gap: 4010.0,
            acknowledged: 1000,
            lost: 0,
            cuts: cut("timeout"),
            wrong: 0,
        }
    }

    #[test]
    fn calm_minutes_pass() {
        let another = Minute {
            resource: "v".to_owned(),
            terms: (2, 2),
            ..minute()
        };
        judge(&[minute(), minute(), another]).unwrap();
    }

    #[test]
    fn anything_that_changed_is_an_alarm() {
        let between = Minute {
            terms: (2, 2),
            ..minute()
        };
        for bad in [
            Minute {
                terms: (1, 2),
                ..minute()
            },
            between,
            Minute {
                promoted: 1,
                ..minute()
            },
            Minute { lost: 1, ..minute() },
            Minute {
                cuts: cut("closed"),
                ..minute()
            },
            Minute { wrong: 1, ..minute() },
            Minute {
                events: vec![],
                ..minute()
            },
        ] {
            assert!(judge(&[minute(), bad.clone()]).is_err(), "{bad:?}");
        }
        assert!(judge(&[]).is_err());
    }

    #[test]
    fn what_happened_is_told() {
        let told = told(&[minute(), minute()]);
        assert!(
            told.contains("stall of 1.5 s: 2") && told.contains("Term: 1 before, 1 after"),
            "{told}"
        );
    }
}
