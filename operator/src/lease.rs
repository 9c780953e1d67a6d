//! Who leads: one Lease, taken and renewed by compare-and-set.
//!
//! A lease alone fences nobody: a leader that paused may wake up and act before it notices. That is why every write
//! carries what it was based on; the lease only makes two leaders rare.

use crate::args::Lease;
use crate::metrics::Metrics;
use k8s_controller::LeaderElection;
use kube::Client;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// One stretch of leadership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Unique to this stretch: the pod's name and a random part, so that even one process that lost its lease and got
    /// it back is told from itself. It stands in the Lease and in every record that it writes.
    pub holder: String,
}

/// How what runs while leading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Another candidate may do better: it has its turn.
    GivenUp,
    /// By itself, which it never should.
    Broken,
}

/// Leading ended for a reason that waiting does not mend.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// No random numbers.
    #[error("no random numbers to be had: {0}")]
    Random(#[from] getrandom::Error),
    /// What runs while leading never ends by itself; if it does, the process cannot do its work.
    #[error("the controller ended by itself")]
    Ended,
}

/// Longest wait for the lease to be given back. If that fails it expires by itself.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// Whoever gave up looks at the lease again after so many times the others have.
const STAND_BACK: u32 = 5;

impl Session {
    fn new(pod: &str) -> Result<Self, LeaseError> {
        let suffix = getrandom::u32()?;
        Ok(Self {
            holder: format!("{pod}/{suffix:08x}"),
        })
    }
}

/// Takes the lease whenever it is free and runs `run` while it is held, until `stop`.
///
/// A run that gives up is followed by a pause, so that another candidate comes first if there is one.
///
/// When the lease is lost the run is dropped at its next await, and the process stands by again. On `stop` the run is
/// dropped first and the lease released then, so that the next leader begins at once.
pub async fn lead<F, R>(
    client: Client,
    namespace: &str,
    pod: &str,
    lease: &Lease,
    metrics: &Arc<Metrics>,
    stop: impl Future<Output = ()>,
    run: F,
) -> Result<(), LeaseError>
where
    F: Fn(Session) -> R,
    R: Future<Output = End>,
{
    let mut stop = std::pin::pin!(stop);
    loop {
        let session = Session::new(pod)?;
        let election = LeaderElection::new(client.clone(), namespace, &lease.lease_name, &session.holder)
            .with_lease_duration(lease.lease_duration)
            .with_renew_deadline(lease.renew_deadline)
            .with_retry_period(lease.retry_period);
        tracing::info!(lease = %lease.lease_name, namespace, holder = %session.holder, "standing by");
        let leading = async {
            tracing::info!(holder = %session.holder, "leading");
            let _leading = metrics.leading();
            run(session.clone()).await
        };
        let ended = tokio::select! {
            ended = election.with_lease(leading) => ended,
            () = &mut stop => {
                release(&election, &session).await;
                return Ok(());
            }
        };
        match ended {
            Some(End::Broken) => return Err(LeaseError::Ended),
            Some(End::GivenUp) => {
                tracing::warn!(holder = %session.holder, "gave the lease up: another operator may see what this one cannot");
                tokio::select! {
                    () = tokio::time::sleep(lease.retry_period.saturating_mul(STAND_BACK)) => {}
                    () = &mut stop => return Ok(()),
                }
            }
            None => tracing::warn!(
                holder = %session.holder,
                "the lease is lost: it was not renewed within {:?}, or is another's; all work stopped",
                lease.renew_deadline
            ),
        }
    }
}

async fn release(election: &LeaderElection, session: &Session) {
    match tokio::time::timeout(RELEASE_LIMIT, election.release()).await {
        Ok(()) => tracing::info!(holder = %session.holder, "stopped; the lease is free"),
        Err(_) => tracing::warn!(holder = %session.holder, "stopped; the lease could not be released and will expire"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_api::FakeApi;
    use serde_json::json;
    use tokio::sync::{Notify, mpsc, oneshot};

    const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/a/leases/redis-operator";
    const LIMIT: Duration = Duration::from_secs(60);

    fn timings() -> Lease {
        Lease {
            lease_name: "redis-operator".to_owned(),
            lease_duration: Duration::from_secs(4),
            renew_deadline: Duration::from_millis(2_500),
            retry_period: Duration::from_millis(100),
        }
    }

    fn holder(api: &FakeApi) -> Option<String> {
        Some(api.get(PATH)?["spec"]["holderIdentity"].as_str()?.to_owned())
    }

    /// Tells who begins to lead, and who held the lease when that stretch ended.
    struct Stretch(FakeApi, mpsc::UnboundedSender<Option<String>>);

    impl Drop for Stretch {
        fn drop(&mut self) {
            let _ = self.1.send(holder(&self.0));
        }
    }

    struct Candidate {
        began: mpsc::UnboundedReceiver<String>,
        ended: mpsc::UnboundedReceiver<Option<String>>,
        stop: oneshot::Sender<()>,
        give_up: Arc<Notify>,
    }

    fn candidate(api: &FakeApi, pod: &'static str) -> Candidate {
        let (begin, began) = mpsc::unbounded_channel();
        let (end, ended) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let give_up = Arc::new(Notify::new());
        let gives_up = Arc::clone(&give_up);
        let api = api.clone();
        tokio::spawn(async move {
            let run = |session: Session| {
                let (api, begin, end, gives_up) = (api.clone(), begin.clone(), end.clone(), Arc::clone(&gives_up));
                async move {
                    let _stretch = Stretch(api, end);
                    begin.send(session.holder).unwrap();
                    gives_up.notified().await;
                    End::GivenUp
                }
            };
            let stop = async { drop(stopped.await) };
            let metrics = Metrics::new().unwrap();
            lead(api.client(), "a", pod, &timings(), &metrics, stop, run)
                .await
                .unwrap();
        });
        Candidate {
            began,
            ended,
            stop,
            give_up,
        }
    }

    async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
        tokio::time::timeout(LIMIT, receiver.recv()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn o06_a_leader_that_stops_hands_over_at_once() {
        let api = FakeApi::default();
        let mut one = candidate(&api, "one");
        let first = next(&mut one.began).await;
        assert_eq!(holder(&api), Some(first.clone()));
        let mut two = candidate(&api, "two");
        let asked = std::time::Instant::now();
        one.stop.send(()).unwrap();
        assert_eq!(
            next(&mut one.ended).await,
            Some(first),
            "work stops before the lease is given away"
        );
        assert!(next(&mut two.began).await.starts_with("two/"));
        assert!(
            asked.elapsed() < timings().lease_duration,
            "the lease was released, it did not expire"
        );
    }

    #[tokio::test]
    async fn o07_who_loses_the_lease_stops_and_comes_back_as_another() {
        let api = FakeApi::default();
        let mut one = candidate(&api, "one");
        let first = next(&mut one.began).await;
        let mut lease = api.get(PATH).unwrap();
        lease["spec"]["holderIdentity"] = json!("thief");
        api.put(PATH, lease);
        assert_eq!(next(&mut one.ended).await, Some("thief".to_owned()));
        let second = next(&mut one.began).await;
        assert!(second.starts_with("one/") && second != first, "{second}");
        assert_eq!(holder(&api), Some(second));
    }

    #[tokio::test]
    async fn whoever_gives_up_lets_another_lead() {
        let api = FakeApi::default();
        let mut one = candidate(&api, "one");
        let first = next(&mut one.began).await;
        let mut two = candidate(&api, "two");
        one.give_up.notify_one();
        assert_eq!(
            next(&mut one.ended).await,
            Some(first),
            "work stops before the lease is given away"
        );
        let second = next(&mut two.began).await;
        assert!(second.starts_with("two/"), "{second}");
    }

    #[tokio::test]
    async fn whoever_gives_up_and_is_alone_leads_again() {
        let api = FakeApi::default();
        let mut one = candidate(&api, "one");
        let first = next(&mut one.began).await;
        one.give_up.notify_one();
        let second = next(&mut one.began).await;
        assert!(second.starts_with("one/") && second != first, "{second}");
    }
}
