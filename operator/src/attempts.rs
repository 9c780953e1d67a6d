//! Attempts at one watch: when to try again, and what is worth a line.

use crate::freshness::Kept;
use crate::pause::Pause;
use kube::runtime::watcher::{self, Event};
use std::time::{Duration, Instant};

/// The first pause: a connection that broke is opened again soon.
const FIRST: Duration = Duration::from_millis(100);
/// The longest one. kube's own is 30 s, and a failover that waited for the API server would wait so much longer after it
/// is back.
const LONGEST: Duration = Duration::from_secs(2);

/// Attempts at one watch.
pub(crate) struct Attempts {
    pause: Pause,
    failed: Option<Instant>,
    kept: Kept,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// It is the first one of an outage.
    pub(crate) begins: bool,
    /// How long to wait.
    pub(crate) after: Duration,
}

impl Attempts {
    /// None yet; `kept` hears how they go. Those that fail closely after one another fail for one reason.
    pub(crate) fn new(kept: Kept) -> Self {
        Self {
            pause: Pause::new(FIRST, LONGEST),
            failed: None,
            kept,
        }
    }

    /// Notes what a watch yielded. None if it goes on.
    ///
    /// What is yielded before a list is asked for shows nothing, so it ends no outage; kube's own pauses begin anew there,
    /// and never grow.
    pub(crate) fn note<K>(&mut self, event: &watcher::Result<Event<K>>, now: Instant) -> Option<Again> {
        match event {
            Ok(Event::Init | Event::InitApply(_)) => None,
            Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => {
                self.kept.works();
                self.pause.reset();
                None
            }
            Err(_) => {
                self.kept.failed(now);
                let before = self.failed.replace(now);
                let begins = before.is_none_or(|before| now.duration_since(before) > self.kept.outage());
                if begins {
                    // a watch that was resumed in between and had nothing to tell
                    self.pause.reset();
                }
                let after = self.pause.next();
                Some(Again { begins, after })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freshness::Freshness;

    const OUTAGE: Duration = Duration::from_secs(15);

    fn attempts() -> Attempts {
        let kept = Freshness::new(Duration::from_secs(5)).keep("Pod");
        assert_eq!(kept.outage(), OUTAGE);
        Attempts::new(kept)
    }

    fn failed() -> watcher::Result<Event<()>> {
        Err(watcher::Error::NoResourceVersion)
    }

    #[test]
    fn o01_a_list_that_fails_is_tried_more_and_more_seldom() {
        let mut attempts = attempts();
        let mut now = Instant::now();
        let mut waited = vec![];
        for attempt in 0..8 {
            assert_eq!(attempts.note::<()>(&Ok(Event::Init), now), None);
            let again = attempts.note(&failed(), now).unwrap();
            assert_eq!(again.begins, attempt == 0, "one line per outage");
            waited.push(again.after);
            now += again.after;
        }
        assert!(waited[0] <= FIRST);
        assert!(
            waited[5..].iter().all(|it| (LONGEST / 2..=LONGEST).contains(it)),
            "{waited:?}"
        );
    }

    #[test]
    fn an_outage_is_over_when_something_was_seen_or_nothing_failed_for_a_while() {
        let mut attempts = attempts();
        let mut now = Instant::now();
        let grow = |attempts: &mut Attempts, now| {
            let pauses = (0..7).map(|_| attempts.note(&failed(), now).unwrap().after);
            pauses.last().unwrap()
        };
        for event in [Event::InitDone, Event::Apply(()), Event::Delete(())] {
            assert!(grow(&mut attempts, now) > FIRST);
            assert_eq!(attempts.note(&Ok(event), now), None);
            let again = attempts.note(&failed(), now).unwrap();
            assert!(again.after <= FIRST && !again.begins);
        }
        assert!(grow(&mut attempts, now) > FIRST);
        now += OUTAGE + Duration::from_millis(1);
        let again = attempts.note(&failed(), now).unwrap();
        assert!(again.after <= FIRST && again.begins);
    }
}
