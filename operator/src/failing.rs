//! Passes of one resource that fail: when the next one comes, and what is worth a line.

mod refusal;

use crate::error::Error;
use crate::execute::Done;
use crate::objects::Altered;
use crate::pass::AFTER_FAILURE;
use crate::pause::Pause;
use redis_operator_core::plan::{Plan, Step};
use refusal::Refusal;
use std::fmt;
use std::time::Duration;

/// The longest pause: whatever is refused again and again is asked for no oftener. Whoever has something new to tell, a
/// server or the API server, is answered at once all the same.
const LONGEST: Duration = Duration::from_secs(3);

/// How a pass failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// One of a handful of words.
    pub label: &'static str,
    /// A sentence for people.
    pub text: String,
}

/// What is kept of the passes that failed one after another.
#[derive(Debug)]
pub struct Failing {
    pause: Pause,
    /// The plan that failed last.
    plan: Option<String>,
    /// How a step of the present passes failed.
    step: Option<Failed>,
    /// What the API server says no to.
    pub refusal: Refusal,
    /// Objects that do not become what is written.
    pub altered: Altered,
}

impl Default for Failing {
    fn default() -> Self {
        Self {
            pause: Pause::new(AFTER_FAILURE, LONGEST),
            plan: None,
            step: None,
            refusal: Refusal::default(),
            altered: Altered::default(),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl From<&Error> for Failed {
    fn from(error: &Error) -> Self {
        Self {
            label: error.label(),
            text: error.to_string(),
        }
    }
}

impl Failing {
    /// Passes begin. If a server has told something new, what failed may succeed now: pauses are short again.
    pub fn begin(&mut self, told: bool) {
        self.step = None;
        if told {
            self.pause.reset();
        }
    }

    /// It is the very plan that failed last: nothing new.
    pub fn knows(&self, plan: &Plan) -> bool {
        self.plan.as_ref() == Some(&gist(plan))
    }

    /// Notes how a plan ended.
    pub fn note(&mut self, plan: &Plan, done: &Done) {
        let Err(failure) = done else {
            self.step = None;
            if !plan.steps.is_empty() {
                self.plan = None;
            }
            return;
        };
        self.plan = Some(gist(plan));
        self.step = Some(Failed {
            label: failure.label(),
            text: format!("{}: {failure}", plan.why),
        });
    }

    /// Passes ended, with `outcome` as of [`crate::pass::run`]: when to look again, and how they failed if they did.
    pub fn end(&mut self, outcome: &Result<Option<Duration>, Error>) -> (Option<Duration>, Option<Failed>) {
        let failed = self.step.take().or_else(|| outcome.as_ref().err().map(Failed::from));
        let again = match outcome {
            // gone, or called meanwhile
            Ok(again @ (None | Some(Duration::ZERO))) => *again,
            Ok(Some(rest)) if failed.is_none() => {
                self.pause.reset();
                Some(*rest)
            }
            Ok(Some(_)) | Err(_) => Some(self.pause.next()),
        };
        (again, failed)
    }
}

fn gist(plan: &Plan) -> String {
    let names: Vec<_> = plan.steps.iter().map(Step::name).collect();
    format!("{}: {}", plan.why, names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::Failure;

    fn plan() -> Plan {
        Plan {
            steps: vec![Step::TouchSlice],
            ..Plan::default()
        }
    }

    /// One round: the plan fails, and the objects are put right.
    fn fail(failing: &mut Failing, told: bool) -> Duration {
        failing.begin(told);
        failing.note(&plan(), &Err(Failure::NotConnected("a".to_owned())));
        let (again, failed) = failing.end(&Ok(Some(AFTER_FAILURE)));
        assert_eq!(failed.unwrap().label, "not-connected");
        again.unwrap()
    }

    #[test]
    fn a_step_that_is_refused_is_tried_more_and_more_seldom() {
        let mut failing = Failing::default();
        assert!(fail(&mut failing, false) <= AFTER_FAILURE);
        let mut pauses: Vec<_> = (0..8).map(|_| fail(&mut failing, false)).collect();
        assert!(pauses.split_off(4).iter().all(|pause| *pause >= LONGEST / 2));
        assert!(fail(&mut failing, true) <= AFTER_FAILURE, "a server told something new");
    }

    #[test]
    fn a_read_or_a_report_that_fails_is_tried_more_and_more_seldom() {
        let mut failing = Failing::default();
        let mut end = |outcome| {
            failing.begin(false);
            failing.end(&outcome)
        };
        let failed = || Err(Error::Unexpected("no".to_owned()));
        assert!(end(failed()).0.unwrap() <= AFTER_FAILURE);
        (0..6).for_each(|_| drop(end(failed())));
        let (again, what) = end(failed());
        assert!(again.unwrap() >= LONGEST / 2);
        assert_eq!(what.unwrap().label, "unexpected");
        assert_eq!(end(Ok(Some(LONGEST * 2))), (Some(LONGEST * 2), None));
        assert!(end(failed()).0.unwrap() <= AFTER_FAILURE, "it succeeded meanwhile");
    }

    #[test]
    fn a_call_is_answered_at_once() {
        let mut failing = Failing::default();
        for _ in 0..6 {
            fail(&mut failing, false);
        }
        failing.begin(false);
        failing.note(&plan(), &Err(Failure::Stale("the pod")));
        assert_eq!(failing.end(&Ok(Some(Duration::ZERO))).0, Some(Duration::ZERO));
    }

    #[test]
    fn a_plan_that_failed_is_known_until_one_succeeds() {
        let mut failing = Failing::default();
        assert!(!failing.knows(&plan()));
        failing.note(&plan(), &Err(Failure::Stale("the pod")));
        assert!(failing.knows(&plan()));
        let other = Plan {
            steps: vec![Step::TouchSlice, Step::TouchSlice],
            ..Plan::default()
        };
        assert!(!failing.knows(&other));
        failing.note(&Plan::default(), &Ok(()));
        assert!(failing.knows(&plan()), "nothing was tried");
        failing.note(&plan(), &Ok(()));
        assert!(!failing.knows(&plan()));
    }
}
