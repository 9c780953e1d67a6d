//! One fail point, what leads to it, and what must be true afterwards.

use crate::alone::{LEADS, REACHED};
use crate::{SETTLE, START, kill_master};
use anyhow::{Context, Result, ensure};
use e2e::client::Does;
use e2e::harness::spec;
use e2e::local_operator::{Action, LocalOperator};
use e2e::log::{self, Micros};
use e2e::observer::{LABELLED, PUBLISHED};
use e2e::pod::address;
use e2e::space::{Space, call, until};
use e2e::subject::{self, Settled, Subject};
use e2e::trial::{self, Expect, Verdict};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use redis_operator_core::names;
use serde_json::{Value, json};
use std::time::Duration;

/// Writes before anything happens.
const WARM_UP: Duration = Duration::from_millis(200);

/// What happens before the fail point is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// The armed operator begins to lead.
    Lead,
    /// The master's process ends.
    MasterEnds,
    /// The master's process ends, and its successor's before the armed operator is resumed.
    MasterEndsTwice,
    /// The master's pod is deleted.
    PodIsDeleted,
    /// A roll begins. It is taken back before anybody succeeds the armed operator, and who had left is to be master.
    RollIsTakenBack,
    /// Three instances become four.
    Grow,
    /// Four become three.
    Shrink,
}

/// Operators that end or stop one after the other, each at its point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// One for each operator.
    pub(super) points: &'static [&'static str],
    /// What leads to the first.
    pub(super) trigger: Trigger,
}

impl Case {
    /// For the table.
    pub(super) fn name(&self, action: Action) -> String {
        format!("{:?} {} {}", self.trigger, action.name(), self.points.join(", then "))
    }

    /// The point of the operator with this number; the last one has none.
    pub(super) fn point(&self, number: usize, action: Action) -> Option<String> {
        let point = self.points.get(number)?;
        Some(format!("{point}:{}", action.name()))
    }
}

/// A Redis, and the operator that leads.
pub(super) struct Stage {
    space: Space,
    redis: Subject,
    /// What operators do at their fail points.
    action: Action,
    leader: LocalOperator,
    played: usize,
}

/// What came of a case, as far as its trial does not know it.
struct Played {
    /// Everybody who was master, in order.
    masters: Vec<Settled>,
    leader: LocalOperator,
    /// When late operators began to wake.
    woken: Option<Micros>,
}

impl Stage {
    /// Starts an operator and a Redis.
    pub(super) async fn begin(space: &Space, name: &str, action: Action) -> Result<Self> {
        let leader = LocalOperator::start(space, "first", None)?;
        let redis = space.apply(name, spec(3)).await?.unread();
        redis.settled(START).await?;
        Ok(Self {
            space: space.clone(),
            redis,
            action,
            leader,
            played: 0,
        })
    }

    /// Plays a case under writes. The operator that is left at its end leads from then on.
    pub(super) async fn play(&mut self, case: &Case) -> Result<()> {
        self.played += 1;
        let expect = match case.trigger {
            Trigger::MasterEnds | Trigger::MasterEndsTwice | Trigger::PodIsDeleted | Trigger::RollIsTakenBack => {
                Expect::Failover
            }
            Trigger::Lead | Trigger::Grow | Trigger::Shrink => Expect::SameMaster,
        };
        let mut played = None;
        let redis = self.redis.clone();
        let verdict = trial::under_writes(&redis, expect, WARM_UP, async |_| {
            let (at, found) = Box::pin(self.relay(case)).await?;
            played = Some(found);
            Ok(at)
        });
        let verdict = Box::pin(verdict).await?;
        let played = played.context("played")?;
        verdict.ensure_safe()?;
        ensure_succession(&verdict, &played.masters)?;
        if let Some(woken) = played.woken {
            for account in &verdict.accounts {
                let troubles = account.history.troubles_since(woken);
                ensure!(troubles.is_empty(), "a late operator was noticed: {troubles:?}");
            }
        }
        println!("{:<78} {}", case.name(self.action), outcome(&verdict));
        self.leader = played.leader;
        self.renew(&played.masters).await
    }

    /// Hands over to the armed operators, one after the other, and at last to one that is not.
    async fn relay(&mut self, case: &Case) -> Result<(Micros, Played)> {
        let start = |number: usize| {
            let name = format!("{}-{number}", self.played);
            LocalOperator::start(&self.space, &name, case.point(number, self.action).as_deref())
        };
        let mut late: Vec<LocalOperator> = Vec::new();
        let mut armed = start(0)?;
        self.leader.signal("-TERM")?;
        armed.leads(&self.space, LEADS).await?;
        let mut next = start(1)?;
        let mut at = log::now();
        let mut masters = vec![self.redis.settled(SETTLE).await?];
        if case.trigger != Trigger::Lead {
            masters = vec![self.held_by(&armed, 0).await?];
            at = self.pull(case.trigger, last(&masters)?).await?;
        }
        for number in 2..=case.points.len() + 1 {
            armed.reached(self.action, REACHED).await?;
            if case.trigger == Trigger::RollIsTakenBack {
                self.take_back(last(&masters)?).await?;
            }
            next.leads(&self.space, LEADS).await?;
            late.push(armed);
            armed = next;
            if number > case.points.len() {
                return self.end(case, at, masters, armed, late).await;
            }
            next = start(number)?;
        }
        anyhow::bail!("a case has a point")
    }

    async fn end(
        &self,
        case: &Case,
        at: Micros,
        mut masters: Vec<Settled>,
        leader: LocalOperator,
        late: Vec<LocalOperator>,
    ) -> Result<(Micros, Played)> {
        let stays = matches!(case.trigger, Trigger::Lead | Trigger::Grow | Trigger::Shrink);
        let next = match stays {
            true => self.held_by(&leader, 0).await?,
            false => self.handed_over(&leader, last(&masters)?).await?,
        };
        masters.push(next);
        if case.trigger == Trigger::MasterEndsTwice {
            self.renew(&masters).await?;
            let settled = self.held_by(&leader, 0).await?;
            let term = settled.record.term;
            kill_master(&self.redis, &settled)?;
            masters.push(self.held_by(&leader, term).await?);
        }
        let mut woken = None;
        if self.action == Action::Stop {
            self.reached(masters.first().context("a master")?).await?;
            for operator in &late {
                let at = operator.resume(LEADS).await?;
                woken = woken.or(Some(at));
            }
            self.ensure_unchanged(&leader, last(&masters)?).await?;
        }
        let played = Played { masters, leader, woken };
        Ok((at, played))
    }

    async fn pull(&self, trigger: Trigger, settled: &Settled) -> Result<Micros> {
        let replicas = match trigger {
            Trigger::MasterEnds | Trigger::MasterEndsTwice => return kill_master(&self.redis, settled),
            Trigger::Lead => return Ok(log::now()),
            Trigger::PodIsDeleted => {
                self.space.remove(&settled.master, None).await?;
                return Ok(log::now());
            }
            Trigger::RollIsTakenBack => {
                self.redis.change(rolled(Some("yes"))).await?;
                return Ok(log::now());
            }
            Trigger::Grow => 4,
            Trigger::Shrink => 3,
        };
        let at = log::now();
        self.redis.scale(replicas).await?;
        Ok(at)
    }

    /// Nobody is to be replaced, and whoever is not on record any more is to be master.
    async fn take_back(&self, before: &Settled) -> Result<()> {
        self.redis.change(rolled(None)).await?;
        let record = subject::record(&self.redis.get().await?)?;
        let mut names = before.pods().map(ResourceExt::name_any);
        let left = names.find(|name| *name != before.master.name_any() && !record.members.contains_key(name));
        let left = left.context("nobody has left")?;
        self.redis.annotate(names::ANNOTATION_SWITCHOVER, Some(&left)).await?;
        Ok(())
    }

    /// Waits until this operator holds the record and the resource is whole.
    async fn held_by(&self, operator: &LocalOperator, after: u64) -> Result<Settled> {
        self.held_when(operator, after, |_| true).await
    }

    /// The same, and another one is master: an election may have come to nothing before.
    async fn handed_over(&self, operator: &LocalOperator, before: &Settled) -> Result<Settled> {
        let other = |settled: &Settled| settled.master.uid() != before.master.uid();
        self.held_when(operator, before.record.term, other).await
    }

    async fn held_when(&self, operator: &LocalOperator, after: u64, so: impl Fn(&Settled) -> bool) -> Result<Settled> {
        let mut found = None;
        until("the record to be taken over", SETTLE, async || {
            let settled = self.redis.settled_after(after, SETTLE).await?;
            let holder = settled.record.holder.clone();
            let (held, so) = (operator.is(&holder), so(&settled));
            found = Some(settled);
            ensure!(held, "{holder} holds it");
            Ok(so)
        })
        .await?;
        found.context("held")
    }

    /// Waits until a client of its own gets through where the others are: kube-proxy may be a second behind the API server,
    /// and no late operator is to be blamed for that.
    async fn reached(&self, before: &Settled) -> Result<()> {
        let key = format!("reached-{}", self.played);
        let mut client = self.redis.client(before, &key, Does::Write { wait: None }).await?;
        client.acknowledged_after(0, SETTLE).await?;
        client.stop().await?;
        Ok(())
    }

    /// A late one woke up with a step in its hand.
    async fn ensure_unchanged(&self, leader: &LocalOperator, before: &Settled) -> Result<()> {
        let now = self.held_by(leader, 0).await?;
        let master = |settled: &Settled| settled.record.master.as_ref().map(|master| master.run_id.clone());
        ensure!(
            master(&now) == master(before) && now.record.term == before.record.term,
            "{:?} was {:?}",
            now.record,
            before.record
        );
        for pod in before.pods() {
            let there = call(self.space.api::<Pod>().get(&pod.name_any())).await?;
            ensure!(there.uid() == pod.uid(), "{} was replaced", pod.name_any());
        }
        Ok(())
    }

    /// New pods for those whose process was ended, or kubelet's back-off is all that the next cases test.
    async fn renew(&self, masters: &[Settled]) -> Result<()> {
        let Some((now, former)) = masters.split_last() else {
            return Ok(());
        };
        let former = former.iter().map(|settled| &settled.master);
        for pod in former.filter(|pod| pod.uid() != now.master.uid()) {
            let there = call(self.space.api::<Pod>().get_opt(&pod.name_any())).await?;
            if there.is_none_or(|there| there.uid() != pod.uid()) {
                continue;
            }
            self.space.remove(pod, None).await?;
            until("a new pod", START, async || {
                let there = call(self.space.api::<Pod>().get_opt(&pod.name_any())).await?;
                Ok(there.is_some_and(|there| there.uid() != pod.uid()))
            })
            .await?;
        }
        Ok(())
    }
}

/// What other pods are wanted for.
fn rolled(value: Option<&str>) -> Value {
    json!({ "podAnnotations": { "rolled": value } })
}

fn last(masters: &[Settled]) -> Result<&Settled> {
    masters.last().context("a master")
}

/// Those who were master were published and labelled in this order, and nobody came back after a successor.
fn ensure_succession(verdict: &Verdict, masters: &[Settled]) -> Result<()> {
    let mut addresses = Vec::new();
    let mut names = Vec::new();
    for settled in masters {
        addresses.push(address(&settled.master)?.ip().to_string());
        names.push(settled.master.name_any());
    }
    for (title, mut wanted) in [(PUBLISHED, addresses), (LABELLED, names)] {
        wanted.dedup();
        let found = verdict.seen.succession(title);
        ensure!(found == wanted, "{title}: {found:?} in place of {wanted:?}");
    }
    Ok(())
}

fn outcome(verdict: &Verdict) -> String {
    let published = verdict.seen.first(PUBLISHED, verdict.fault);
    let ms = |to: Micros| to.saturating_sub(verdict.fault) / 1000;
    let published = published.map_or_else(|| "-".to_owned(), |entry| ms(entry.at).to_string());
    format!(
        "published {published:>5} ms, gap {:>5} ms, whole {:>5} ms, lost {}+{}",
        verdict.gap().as_millis(),
        verdict.settled.as_millis(),
        verdict.lost(false),
        verdict.lost(true)
    )
}
