//! Passes of one resource that fail: when the next one comes, and what is worth a line.

use crate::error::Error;
use crate::execute::{Done, Failure};
use crate::objects::Altered;
use crate::pass::AFTER_FAILURE;
use crate::pause::Pause;
use redis_operator_core::observed::Moment;
use redis_operator_core::plan::{Plan, Step};
use redis_operator_core::status::Trouble;
use std::fmt;
use std::time::Duration;

/// The longest pause: whatever is refused again and again is asked for no oftener. Whoever has something new to tell, a
/// server or the API server, is answered at once all the same.
const LONGEST: Duration = Duration::from_secs(3);

/// What is refused for less may be a webhook that starts anew, or an API server.
const REFUSED: Duration = Duration::from_secs(5);

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
    /// What the API server refuses, for whatever time.
    refused: Option<Refused>,
    /// Objects that do not become what is written.
    pub altered: Altered,
}

/// A step to which the API server has said no since it was tried first.
#[derive(Debug)]
struct Refused {
    step: &'static str,
    /// Who it is about, if it is about one pod.
    pod: Option<String>,
    since: Moment,
    why: &'static str,
    /// The answer to the latest attempt.
    answer: String,
}

impl Refused {
    /// The same again, whatever has become of the pod meanwhile.
    fn is(&self, step: &Step) -> bool {
        self.step == step.name() && self.pod.as_deref() == pod(step)
    }

    fn trouble(&self) -> Trouble {
        let of = self.pod.as_ref().map(|pod| format!(" of {pod}")).unwrap_or_default();
        let Self { step, why, answer, .. } = self;
        Trouble {
            reason: "StepRefused".to_owned(),
            message: format!(
                "the step {step}{of} (plan: {why}) fails again and again, and what comes after it waits: {answer}. Change what refuses it: the operator's rights (manifests/20-rbac.yaml), a webhook or a policy; it is tried again"
            ),
        }
    }
}

impl Default for Failing {
    fn default() -> Self {
        Self {
            pause: Pause::new(AFTER_FAILURE, LONGEST),
            plan: None,
            step: None,
            refused: None,
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

    /// Notes what came of a step.
    pub fn tried(&mut self, plan: &Plan, step: &Step, done: &Done, now: Moment) {
        let before = self.refused.take_if(|it| it.is(step));
        match done {
            Err(Failure::Api(error)) if is_refusal(error) => {
                self.refused = Some(Refused {
                    step: step.name(),
                    pod: pod(step).map(ToOwned::to_owned),
                    since: before.map_or(now, |it| it.since),
                    why: plan.why,
                    answer: error.to_string(),
                });
            }
            // that says nothing of whether it would be refused
            Err(_) if before.is_some() => self.refused = before,
            Ok(()) | Err(_) => {}
        }
    }

    /// The step that has been refused for long, if `plan`, with which passes came to rest, still has it.
    pub fn refusal(&mut self, plan: &Plan, now: Moment) -> Option<Trouble> {
        let is_planned = |it: &Refused| plan.steps.iter().any(|step| it.is(step));
        self.refused.take_if(|it| !is_planned(it));
        let refused = self.refused.as_ref()?;
        (now.since(refused.since) > REFUSED).then(|| refused.trouble())
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

/// The API server has something against it, or a webhook that hangs. One that cannot be reached has nothing, nor does
/// anybody care in a namespace that is being deleted.
fn is_refusal(error: &Error) -> bool {
    !error.is_terminating() && error.label() != "unreachable"
}

fn pod(step: &Step) -> Option<&str> {
    match step {
        Step::Label { pod, .. } | Step::DeletePod { pod, .. } => Some(pod),
        Step::Publish(process) => Some(&process.pod),
        other => other.server().map(|process| process.pod.as_str()),
    }
}

fn gist(plan: &Plan) -> String {
    let names: Vec<_> = plan.steps.iter().map(Step::name).collect();
    format!("{}: {}", plan.why, names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;
    use serde_json::json;

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

    fn deletes(pod: &str) -> Plan {
        let step = Step::DeletePod {
            pod: pod.to_owned(),
            uid: "u".to_owned(),
            resource_version: "1".to_owned(),
        };
        Plan {
            steps: vec![step],
            why: "roll",
            ..Plan::default()
        }
    }

    fn refused(says: &str) -> Done {
        let status = json!({ "status": "Failure", "reason": "Forbidden", "code": 403, "message": says });
        let status: Status = serde_json::from_value(status).unwrap();
        let source = Box::new(kube::Error::Api(Box::new(status)));
        let what = "delete pod redis-a-1".to_owned();
        Err(Failure::Api(Error::Api { what, source }))
    }

    /// Tries the plan at that second.
    fn attempt(failing: &mut Failing, plan: &Plan, done: &Done, second: u64) -> Option<Trouble> {
        let now = Moment(second * 1_000_000);
        failing.tried(plan, &plan.steps[0], done, now);
        failing.refusal(plan, now)
    }

    #[test]
    fn o02_a_step_that_is_refused_for_long_is_told_until_it_succeeds_or_is_not_wanted() {
        let says_no = |failing: &mut Failing, second| attempt(failing, &deletes("redis-a-1"), &refused("no"), second);
        let mut failing = Failing::default();
        for second in [0, 2, 5] {
            assert_eq!(says_no(&mut failing, second), None);
        }
        let told = says_no(&mut failing, 6).unwrap();
        assert_eq!(told.reason, "StepRefused");
        for word in ["delete-pod", "redis-a-1", "roll", "no", "webhook"] {
            assert!(told.message.contains(word), "{}", told.message);
        }
        // it was not even asked for
        let stale = attempt(&mut failing, &deletes("redis-a-1"), &Err(Failure::Stale("the pod")), 7);
        assert_eq!(stale, Some(told));
        assert_eq!(attempt(&mut failing, &deletes("redis-a-1"), &Ok(()), 8), None);
        assert_eq!(says_no(&mut failing, 9), None, "it succeeded meanwhile");
        assert!(says_no(&mut failing, 20).is_some());
        assert_eq!(failing.refusal(&Plan::default(), Moment(21_000_000)), None);
        assert_eq!(says_no(&mut failing, 22), None, "it was not planned meanwhile");
        assert!(says_no(&mut failing, 30).is_some());
        let other = attempt(&mut failing, &deletes("redis-a-2"), &refused("no"), 31);
        assert_eq!(other, None, "another pod is another step");
    }

    #[test]
    fn o02_what_succeeds_beside_a_refused_step_does_not_hide_it() {
        let mut failing = Failing::default();
        attempt(&mut failing, &deletes("redis-a-1"), &refused("no"), 0);
        failing.tried(&plan(), &plan().steps[0], &Ok(()), Moment(3_000_000));
        assert!(attempt(&mut failing, &deletes("redis-a-1"), &refused("no"), 6).is_some());
    }

    #[test]
    fn o01_an_api_server_that_is_away_refuses_nothing() {
        let mut failing = Failing::default();
        for second in [0, 10] {
            let away = Error::Api {
                what: "delete pod redis-a-1".to_owned(),
                source: Box::new(kube::Error::LinesCodecMaxLineLengthExceeded),
            };
            let done = Err(Failure::Api(away));
            assert_eq!(attempt(&mut failing, &deletes("redis-a-1"), &done, second), None);
        }
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
