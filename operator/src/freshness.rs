//! Whether the local copies are kept current. A pass cannot see that: a copy whose watch fails shows what was, for ever.

use crate::lease::End;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A copy that was not kept current for so long is stale.
pub const STALE: Duration = Duration::from_secs(30);
/// An attempt that gets no answer takes a watch's whole life, what the client adds to it, and a pause.
const MARGIN: Duration = Duration::from_secs(10);
/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Which copies are kept current. Cheap to clone.
#[derive(Clone)]
pub struct Freshness {
    /// Failures that follow each other more closely are one outage: a watch that is resumed and has nothing to tell shows
    /// that by not failing.
    outage: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    copies: Vec<Kept>,
    /// Leading was given up because of the present outage.
    gave_up: bool,
}

/// How the watch of one copy fails.
#[derive(Clone)]
pub(crate) struct Kept {
    kind: String,
    outage: Duration,
    failing: Arc<Mutex<Option<Failing>>>,
}

struct Failing {
    since: Instant,
    last: Instant,
    told: bool,
}

impl Kept {
    /// How close failures of one outage are.
    pub(crate) fn outage(&self) -> Duration {
        self.outage
    }

    /// The watch showed something.
    pub(crate) fn works(&self) {
        if lock(&self.failing).take().is_some_and(|failing| failing.told) {
            tracing::info!(kind = self.kind, "its copy is current again");
        }
    }

    /// The watch failed.
    pub(crate) fn failed(&self, now: Instant) {
        let mut failing = lock(&self.failing);
        let goes_on = failing.take_if(|it| now.duration_since(it.last) <= self.outage);
        let (since, told) = goes_on.map_or((now, false), |it| (it.since, it.told));
        let age = now.duration_since(since);
        if age >= STALE && !told {
            tracing::warn!(
                kind = self.kind,
                ?age,
                "its copy is stale: what is decided may be decided on what was"
            );
        }
        *failing = Some(Failing {
            since,
            last: now,
            told: told || age >= STALE,
        });
    }

    fn age(&self, now: Instant) -> Duration {
        let failing = lock(&self.failing);
        let fails = failing.as_ref().filter(|it| now.duration_since(it.last) <= self.outage);
        fails.map(|it| now.duration_since(it.since)).unwrap_or_default()
    }
}

impl Freshness {
    /// Nothing is kept. `limit` is the longest life of a watch.
    pub fn new(limit: Duration) -> Self {
        Self {
            outage: limit.saturating_add(MARGIN),
            state: Arc::default(),
        }
    }

    /// A copy is kept of this kind.
    pub(crate) fn keep(&self, kind: &str) -> Kept {
        let kept = Kept {
            kind: kind.to_owned(),
            outage: self.outage,
            failing: Arc::default(),
        };
        lock(&self.state).copies.push(kept.clone());
        kept
    }

    /// For how long the watch of each kind has failed.
    pub fn ages(&self, now: Instant) -> BTreeMap<String, Duration> {
        let mut ages = BTreeMap::new();
        for kept in &lock(&self.state).copies {
            let age: &mut Duration = ages.entry(kept.kind.clone()).or_default();
            *age = kept.age(now).max(*age);
        }
        ages
    }

    /// A sentence about the stale ones; none if there is none.
    pub fn complaint(&self, now: Instant) -> Option<String> {
        let stale: Vec<_> = self
            .ages(now)
            .into_iter()
            .filter(|(_, age)| *age >= STALE)
            .map(|(kind, age)| format!("{kind} for {} s", age.as_secs()))
            .collect();
        (!stale.is_empty()).then(|| format!("cannot watch, so the copies are stale: {}", stale.join(", ")))
    }

    /// Whether another operator should have its turn: its watches may work where these fail. Once per outage, or two
    /// operators that cannot watch would hand the lease to each other for ever and neither would lead.
    fn gives_up(&self, now: Instant) -> bool {
        let stale = self.complaint(now).is_some();
        stale && !std::mem::replace(&mut lock(&self.state).gave_up, true)
    }

    /// The complaint; without one the outage for which leading was given up is over.
    fn look(&self, now: Instant) -> Option<String> {
        let complaint = self.complaint(now);
        lock(&self.state).gave_up &= complaint.is_some();
        complaint
    }

    /// Resolves when a leader that begins now should give up: not before it has led for a while.
    pub async fn given_up(&self) -> End {
        tokio::time::sleep(STALE).await;
        while !self.gives_up(Instant::now()) {
            tokio::time::sleep(LOOK).await;
        }
        End::GivenUp
    }

    /// Shows the state of affairs to `show` now and then, for ever.
    pub async fn watch(&self, show: impl Fn(&BTreeMap<String, Duration>, Option<String>)) {
        loop {
            let now = Instant::now();
            show(&self.ages(now), self.look(now));
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // a panic elsewhere cannot leave half a value behind
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(2);

    /// Fails for so long; gives the moment of the last failure.
    fn fail(kept: &Kept, from: Instant, long: Duration) -> Instant {
        let mut now = from;
        while now < from + long {
            kept.failed(now);
            now += EVERY;
        }
        now - EVERY
    }

    #[test]
    fn a_copy_whose_watch_fails_for_long_is_stale() {
        let freshness = Freshness::new(Duration::from_secs(5));
        let (pods, secrets, others) = (
            freshness.keep("Pod"),
            freshness.keep("Secret"),
            freshness.keep("Secret"),
        );
        let now = fail(&pods, Instant::now(), STALE);
        assert_eq!(freshness.complaint(now), None);
        let now = fail(&pods, now, STALE);
        let complaint = freshness.complaint(now).unwrap();
        assert!(complaint.ends_with("stale: Pod for 56 s"), "{complaint}");
        pods.works();
        assert_eq!(freshness.complaint(now), None);
        let now = fail(&secrets, now, STALE * 2);
        others.works();
        assert!(freshness.complaint(now).is_some(), "it is another copy that works");
    }

    #[test]
    fn a_watch_that_is_silent_and_fails_no_more_works() {
        let freshness = Freshness::new(Duration::from_secs(5));
        let pods = freshness.keep("Pod");
        let mut now = fail(&pods, Instant::now(), STALE * 2);
        assert!(freshness.complaint(now).is_some());
        now += Duration::from_secs(16);
        assert_eq!(freshness.complaint(now), None);
        assert_eq!(freshness.ages(now)["Pod"], Duration::ZERO);
        pods.failed(now);
        assert_eq!(freshness.complaint(now), None, "another outage begins");
    }

    #[test]
    fn an_attempt_without_an_answer_takes_long_and_belongs_to_the_outage() {
        let limit = Duration::from_secs(60);
        let freshness = Freshness::new(limit);
        let (pods, began) = (freshness.keep("Pod"), Instant::now());
        (0..3).for_each(|attempt| pods.failed(began + limit * attempt));
        assert!(freshness.complaint(began + limit * 2).is_some());
    }

    #[test]
    fn a_leader_gives_up_once_per_outage() {
        let freshness = Freshness::new(Duration::from_secs(5));
        let (pods, now) = (freshness.keep("Pod"), Instant::now());
        assert!(!freshness.gives_up(now));
        let now = fail(&pods, now, STALE * 2);
        assert!(freshness.gives_up(now));
        assert!(!freshness.gives_up(now), "nobody was better");
        let now = fail(&pods, now, STALE * 2);
        assert!(!freshness.gives_up(now));
        assert!(freshness.look(now).is_some() && !freshness.gives_up(now));
        pods.works();
        assert!(freshness.look(now).is_none() && !freshness.gives_up(now));
        let now = fail(&pods, now, STALE * 2);
        assert!(freshness.gives_up(now), "another outage");
    }
}
