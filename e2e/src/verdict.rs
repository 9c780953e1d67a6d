//! What clients and watches have to say about one fault, and what follows from it.

use crate::health::Cut;
use crate::history::{Balance, Gap, History};
use crate::ledger::Seen;
use crate::limit::Limit;
use crate::log::Micros;
use crate::observer::PUBLISHED;
use crate::reign::TwoMasters;
use crate::subject::Settled;
use anyhow::{Result, ensure};
use redis_operator_core::api::MasterChange;
use std::time::Duration;

/// What one writer has to say.
#[derive(Clone, Debug)]
pub struct Account {
    /// The list it wrote.
    pub key: String,
    /// Replicas that it waited for.
    pub wait: Option<u32>,
    /// Longest time without an acknowledgement.
    pub gap: Gap,
    /// What became of its values.
    pub balance: Balance,
    /// Everything it saw.
    pub history: History,
}

/// What one reader has to say.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Longest time without an answer.
    pub gap: Gap,
    /// What it was cut off from.
    pub cuts: Vec<Cut>,
    /// Everything it saw.
    pub history: History,
}

/// What a fault did.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// When it happened.
    pub fault: Micros,
    /// Before it.
    pub before: Settled,
    /// After everybody has rejoined.
    pub after: Settled,
    /// One per writer: plain, and with WAIT 1.
    pub accounts: Vec<Account>,
    /// One per reader.
    pub readings: Vec<Reading>,
    /// What the watches saw.
    pub seen: Seen,
    /// Acknowledgements by two servers at once.
    pub two_masters: Vec<TwoMasters>,
    /// From the fault until everybody has rejoined.
    pub settled: Duration,
}

impl Verdict {
    /// The longest time in which one of the writers could not write.
    pub fn gap(&self) -> Duration {
        self.accounts
            .iter()
            .map(|account| account.gap.length())
            .max()
            .unwrap_or_default()
    }

    /// The part of it until another address was published, which is the operator's: what follows is kube-proxy's and the
    /// client's. None if the longest gap saw nobody published.
    pub fn unpublished(&self) -> Option<Duration> {
        let longest = self
            .accounts
            .iter()
            .map(|account| &account.gap)
            .max_by_key(|gap| gap.length())?;
        let entry = self.seen.first(PUBLISHED, longest.from)?;
        (entry.at < longest.to).then(|| Duration::from_micros(entry.at.saturating_sub(longest.from)))
    }

    /// Acknowledged writes that are lost; with `waited`, only those that WAIT had acknowledged.
    pub fn lost(&self, waited: bool) -> usize {
        let counted = self.accounts.iter().filter(|account| account.wait.is_some() == waited);
        counted.map(|account| account.balance.lost.len()).sum()
    }

    /// The longest time in which one of the readers got no answer.
    pub fn read_gap(&self) -> Duration {
        let gaps = self.readings.iter().map(|reading| reading.gap.length());
        gaps.max().unwrap_or_default()
    }

    /// Readers of replicas that stayed healthy, and were cut.
    pub fn healthy_cut(&self) -> Vec<&Cut> {
        let cuts = self.readings.iter().flat_map(|reading| &reading.cuts);
        cuts.filter(|cut| cut.excuse.is_none()).collect()
    }

    /// When another server than the master before acknowledged the first write.
    pub fn first_write(&self) -> Option<Micros> {
        let before = self.before.record.master.as_ref().map(|master| master.run_id.as_str());
        let all = self.accounts.iter().flat_map(|account| account.history.acknowledged());
        let by_another = all.filter(|attempt| attempt.at > self.fault && attempt.server.as_deref() != before);
        by_another.map(|attempt| attempt.at).min()
    }

    /// From the fault until another address than the one before was published, as the watch saw it.
    pub fn published(&self) -> Option<Duration> {
        let at = self.seen.first(PUBLISHED, self.fault)?.at;
        Some(Duration::from_micros(at.saturating_sub(self.fault)))
    }

    /// What the operator says about a master that was replaced.
    pub fn last_failover(&self) -> Option<&MasterChange> {
        self.after.redis.status.as_ref()?.last_failover.as_ref()
    }

    /// What the operator says about a master that handed over, unless that was another one.
    pub fn last_switchover(&self) -> Option<&MasterChange> {
        let last = self.after.redis.status.as_ref()?.last_switchover.as_ref()?;
        (last.term == i64::try_from(self.after.record.term).ok()).then_some(last)
    }

    /// What no fault may do: lose what WAIT acknowledged, invent or repeat a value, or make two masters.
    pub fn ensure_safe(&self) -> Result<()> {
        self.ensure_kept()?;
        let violations = self.seen.violations();
        ensure!(violations.is_empty(), "two at once: {violations:?}");
        ensure!(
            self.seen.blind == 0,
            "a watch was interrupted {} times: it proves nothing",
            self.seen.blind
        );
        Ok(())
    }

    /// The same by what the writers saw alone: without the API server no watch sees anything.
    pub fn ensure_kept(&self) -> Result<()> {
        for account in &self.accounts {
            let Balance {
                lost, doubled, foreign, ..
            } = &account.balance;
            ensure!(account.wait.is_none() || lost.is_empty(), "lost after WAIT: {lost:?}");
            ensure!(
                doubled.is_empty() && foreign.is_empty(),
                "doubled {doubled:?}, foreign {foreign:?}"
            );
        }
        ensure!(
            self.two_masters.is_empty(),
            "two masters took writes: {:?}",
            self.two_masters
        );
        Ok(())
    }

    /// [`Verdict::ensure_safe`], nothing lost at all, and no reader of a healthy replica cut.
    pub fn ensure_complete(&self) -> Result<()> {
        self.ensure_but(0)
    }

    /// [`Verdict::ensure_complete`], and no gap longer than this.
    pub fn ensure_smooth(&self, limit: impl Into<Limit>) -> Result<()> {
        self.ensure_complete()?;
        self.ensure_gap(limit)
    }

    /// The same where the master was killed: of two clients that are answered in one turn of its loop, one may be answered
    /// before the replicas are sent its write.
    pub fn ensure_swift(&self, limit: impl Into<Limit>) -> Result<()> {
        self.ensure_but(1)?;
        self.ensure_gap(limit)
    }

    fn ensure_but(&self, plain: usize) -> Result<()> {
        self.ensure_safe()?;
        ensure!(self.lost(false) <= plain, "{} plain writes lost", self.lost(false));
        let cut = self.healthy_cut();
        ensure!(cut.is_empty(), "readers of healthy replicas were cut: {cut:?}");
        Ok(())
    }

    /// That somebody could write again in time; if not, the whole [`Verdict::line`] tells where it went.
    pub fn ensure_gap(&self, limit: impl Into<Limit>) -> Result<()> {
        let (limit, gap) = (limit.into(), self.gap());
        let published = self.unpublished().unwrap_or(gap);
        ensure!(
            gap <= limit.written && published <= limit.published,
            "nobody could write for {gap:?}; allowed are {limit}; {}",
            self.line()
        );
        Ok(())
    }

    /// Who was published and labelled from the fault on, in milliseconds after it: `published 2410: 10.244.1.3`.
    pub fn timeline(&self) -> String {
        let after = self.seen.timeline.iter().filter(|entry| entry.at > self.fault);
        let entries = after.map(|entry| {
            let ms = entry.at.saturating_sub(self.fault) / 1000;
            let holders: Vec<_> = entry.holders.iter().map(String::as_str).collect();
            format!(
                "{} {ms}: {}",
                entry.title,
                if holders.is_empty() {
                    "nobody".to_owned()
                } else {
                    holders.join("+")
                }
            )
        });
        entries.collect::<Vec<_>>().join("; ")
    }

    /// One line for a log.
    pub fn line(&self) -> String {
        let troubles = self
            .accounts
            .iter()
            .map(|account| format!("{:?}", account.history.troubles_since(self.fault)));
        format!(
            "published {} ms after, gap {} ms ({} of them until then), read gap {} ms, readers cut {} and {} of healthy replicas, lost {} plain and {} with WAIT 1 of {}, back after {} ms, errors {} ({})",
            self.published().map_or(0, |after| after.as_millis()),
            self.gap().as_millis(),
            self.unpublished()
                .map_or("none".to_owned(), |part| part.as_millis().to_string()),
            self.read_gap().as_millis(),
            self.readings.iter().map(|reading| reading.cuts.len()).sum::<usize>(),
            self.healthy_cut().len(),
            self.lost(false),
            self.lost(true),
            self.accounts
                .iter()
                .map(|account| account.balance.acknowledged)
                .sum::<usize>(),
            self.settled.as_millis(),
            troubles.collect::<Vec<_>>().join(" "),
            self.timeline()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Excuse;
    use crate::history::tests::{history, reign};
    use crate::ledger::Entry;
    use k8s_openapi::api::core::v1::Pod;
    use redis_operator_core::api::Redis;
    use redis_operator_core::record::Record;
    use serde_json::json;

    fn settled() -> Settled {
        let redis = json!({
            "apiVersion": "redis-operator.dev/v1alpha1", "kind": "Redis",
            "metadata": { "name": "a" }, "spec": { "image": "redis:7" },
        });
        Settled {
            redis: serde_json::from_value::<Redis>(redis).unwrap(),
            record: Record::first("h"),
            master: Pod::default(),
            replicas: vec![],
        }
    }

    /// A planned change in which one reader was cut, with this excuse.
    fn cut(excuse: Option<Excuse>) -> Verdict {
        let history = history(vec![reign("c", 100, 200)]);
        let cut = Cut {
            at: 150_000,
            server: "c".to_owned(),
            kind: "closed".to_owned(),
            excuse,
        };
        Verdict {
            fault: 100_000,
            before: settled(),
            after: settled(),
            accounts: vec![],
            readings: vec![Reading {
                gap: history.gap(100_000, 200_000),
                cuts: vec![cut],
                history,
            }],
            seen: Seen::default(),
            two_masters: vec![],
            settled: Duration::ZERO,
        }
    }

    #[test]
    fn a_planned_change_cuts_no_reader_without_an_excuse() {
        let limit = Duration::from_secs(1);
        for excuse in [Excuse::Master, Excuse::Gone] {
            cut(Some(excuse)).ensure_smooth(limit).unwrap();
        }
        let error = cut(None).ensure_smooth(limit).unwrap_err().to_string();
        assert!(error.contains("healthy"), "{error}");
        assert!(cut(None).line().contains("readers cut 1 and 1 of healthy replicas"));
        cut(None).ensure_safe().unwrap();
    }

    /// No reader was cut; the plain writer, or the one that waited, lost so many.
    fn lost(wait: Option<u32>, lost: Vec<u64>) -> Verdict {
        let mut verdict = cut(Some(Excuse::Master));
        let history = history(vec![reign("c", 100, 200)]);
        verdict.accounts = vec![Account {
            key: "k".to_owned(),
            wait,
            gap: history.gap(100_000, 200_000),
            balance: Balance {
                acknowledged: 9,
                lost,
                doubled: vec![],
                foreign: vec![],
            },
            history,
        }];
        verdict
    }

    #[test]
    fn a_killed_master_may_take_one_plain_write_with_it() {
        let limit = Duration::from_secs(1);
        lost(None, vec![7]).ensure_swift(limit).unwrap();
        assert!(lost(None, vec![7]).ensure_smooth(limit).is_err());
        assert!(lost(None, vec![7, 8]).ensure_swift(limit).is_err());
        assert!(lost(Some(1), vec![7]).ensure_swift(limit).is_err());
        assert!(lost(None, vec![7]).ensure_swift(Duration::ZERO).is_err());
    }

    /// A gap of 100 ms, in whose middle another one is published.
    #[test]
    fn a_gap_has_a_part_until_another_is_published() {
        let mut verdict = lost(None, vec![]);
        let ms = Duration::from_millis;
        let limit = |published, written| Limit {
            published: ms(published),
            written: ms(written),
        };
        verdict.accounts[0].gap = Gap {
            from: 100_000,
            to: 200_000,
        };
        assert_eq!(verdict.unpublished(), None);
        assert!(verdict.ensure_gap(limit(99, 100)).is_err(), "nobody is");
        verdict.ensure_gap(ms(100)).unwrap();
        verdict.seen.timeline = vec![Entry {
            at: 140_000,
            title: PUBLISHED,
            holders: ["b".to_owned()].into(),
        }];
        assert_eq!(verdict.unpublished(), Some(ms(40)));
        verdict.ensure_gap(limit(40, 100)).unwrap();
        assert!(verdict.ensure_gap(limit(39, 100)).is_err());
        let error = verdict.ensure_gap(limit(40, 99)).unwrap_err().to_string();
        assert!(
            error.contains("allowed are 99ms, and 40ms until another master is published"),
            "{error}"
        );
        assert!(error.contains("gap 100 ms (40 of them until then)"), "{error}");
        verdict.ensure_gap(limit(10, 70).after(ms(30))).unwrap();
    }
}
