//! A step that the API server refuses for long is told: what comes after it in the plan waits.

use crate::error::Error;
use crate::execute::{Done, Failure};
use redis_operator_core::observed::Moment;
use redis_operator_core::plan::{Plan, Step};
use redis_operator_core::status::Trouble;
use std::time::Duration;

/// What is refused for less may be a webhook that starts anew, or an API server.
const REFUSED: Duration = Duration::from_secs(5);

/// What the API server refuses, for whatever time.
#[derive(Debug, Default)]
pub struct Refusal(Option<Refused>);

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

impl Refusal {
    /// Notes what came of a step.
    pub fn tried(&mut self, plan: &Plan, step: &Step, done: &Done, now: Moment) {
        let before = self.0.take_if(|it| it.is(step));
        match done {
            Err(Failure::Api(error)) if is_refusal(error) => {
                self.0 = Some(Refused {
                    step: step.name(),
                    pod: pod(step).map(ToOwned::to_owned),
                    since: before.map_or(now, |it| it.since),
                    why: plan.why,
                    answer: error.to_string(),
                });
            }
            // that says nothing of whether it would be refused
            Err(_) if before.is_some() => self.0 = before,
            Ok(()) | Err(_) => {}
        }
    }

    /// The step that has been refused for long, if `plan`, with which passes came to rest, still has it.
    pub fn trouble(&mut self, plan: &Plan, now: Moment) -> Option<Trouble> {
        let is_planned = |it: &Refused| plan.steps.iter().any(|step| it.is(step));
        self.0.take_if(|it| !is_planned(it));
        let refused = self.0.as_ref()?;
        (now.since(refused.since) > REFUSED).then(|| refused.trouble())
    }
}

/// The API server has something against it, or a webhook that hangs. One that cannot be reached has nothing, nor does
/// anybody care in a namespace that is being deleted.
fn is_refusal(error: &Error) -> bool {
    !error.is_terminating() && error.label() != "unreachable"
}

fn pod(step: &Step) -> Option<&str> {
    match step {
        Step::Label { pod, .. } | Step::TouchPod { pod, .. } | Step::DeletePod { pod, .. } => Some(pod),
        Step::Publish(process) => Some(&process.pod),
        other => other.server().map(|process| process.pod.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;
    use serde_json::json;

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
    fn attempt(refusal: &mut Refusal, plan: &Plan, done: &Done, second: u64) -> Option<Trouble> {
        let now = Moment(second * 1_000_000);
        refusal.tried(plan, &plan.steps[0], done, now);
        refusal.trouble(plan, now)
    }

    #[test]
    fn o02_a_step_that_is_refused_for_long_is_told_until_it_succeeds_or_is_not_wanted() {
        let says_no = |refusal: &mut Refusal, second| attempt(refusal, &deletes("redis-a-1"), &refused("no"), second);
        let mut refusal = Refusal::default();
        for second in [0, 2, 5] {
            assert_eq!(says_no(&mut refusal, second), None);
        }
        let told = says_no(&mut refusal, 6).unwrap();
        assert_eq!(told.reason, "StepRefused");
        for word in ["delete-pod", "redis-a-1", "roll", "no", "webhook"] {
            assert!(told.message.contains(word), "{}", told.message);
        }
        // it was not even asked for
        let stale = attempt(&mut refusal, &deletes("redis-a-1"), &Err(Failure::Stale("the pod")), 7);
        assert_eq!(stale, Some(told));
        assert_eq!(attempt(&mut refusal, &deletes("redis-a-1"), &Ok(()), 8), None);
        assert_eq!(says_no(&mut refusal, 9), None, "it succeeded meanwhile");
        assert!(says_no(&mut refusal, 20).is_some());
        assert_eq!(refusal.trouble(&Plan::default(), Moment(21_000_000)), None);
        assert_eq!(says_no(&mut refusal, 22), None, "it was not planned meanwhile");
        assert!(says_no(&mut refusal, 30).is_some());
        let other = attempt(&mut refusal, &deletes("redis-a-2"), &refused("no"), 31);
        assert_eq!(other, None, "another pod is another step");
    }

    #[test]
    fn o02_what_succeeds_beside_a_refused_step_does_not_hide_it() {
        let mut refusal = Refusal::default();
        attempt(&mut refusal, &deletes("redis-a-1"), &refused("no"), 0);
        let touch = Plan {
            steps: vec![Step::TouchSlice],
            ..Plan::default()
        };
        refusal.tried(&touch, &touch.steps[0], &Ok(()), Moment(3_000_000));
        assert!(attempt(&mut refusal, &deletes("redis-a-1"), &refused("no"), 6).is_some());
    }

    #[test]
    fn o01_an_api_server_that_is_away_refuses_nothing() {
        let mut refusal = Refusal::default();
        for second in [0, 10] {
            let away = Error::Api {
                what: "delete pod redis-a-1".to_owned(),
                source: Box::new(kube::Error::LinesCodecMaxLineLengthExceeded),
            };
            let done = Err(Failure::Api(away));
            assert_eq!(attempt(&mut refusal, &deletes("redis-a-1"), &done, second), None);
        }
    }
}
