//! Whether a reader was cut off from a replica that stayed healthy: the judgement of what [`crate::observer`] saw.
//!
//! Healthy is a process that was never master, in a pod that nobody deletes and whose container runs on. Its readers have
//! nothing to do with any change around it, so none of them may lose a connection or be refused a read.

use crate::history::History;
use crate::log::{Micros, Outcome};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use redis_operator_core::names;
use redis_operator_core::record::Record;
use std::collections::BTreeMap;

/// A watch may tell of a deletion or of a promotion so much later than a reader feels it.
const WATCH_LAG: Micros = 500_000;
/// The same for the end of a container, of which kubelet has to hear first.
const KUBELET_LAG: Micros = 3_000_000;

/// What became of the processes that readers may have been connected to.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    /// Uid of the pod of each process that was ever recorded, by run id.
    pods: BTreeMap<String, String>,
    /// Since when a process was master, or claimed to become it, by run id.
    masters: BTreeMap<String, Micros>,
    /// Which container ran first, by uid of the pod.
    containers: BTreeMap<String, String>,
    /// Since when a pod goes, or its container is another one, by uid of the pod.
    gone: BTreeMap<String, Micros>,
}

/// Why a reader may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse {
    /// Its server is or was master: a change of master cuts whoever talks to the former one.
    Master,
    /// Its server's pod goes, or its container ended.
    Gone,
}

/// A connection that a reader lost, or a read that it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// When.
    pub at: Micros,
    /// Run id of the server.
    pub server: String,
    /// What the reader saw, such as `closed` or `MASTERDOWN`.
    pub kind: String,
    /// Why that is right; nothing excuses a cut off from a healthy replica.
    pub excuse: Option<Excuse>,
}

impl Lives {
    /// Takes one state of the record.
    pub fn record(&mut self, at: Micros, record: &Record) {
        for process in record.processes() {
            self.pods.insert(process.run_id.clone(), process.uid.clone());
        }
        let claimed = record.claim.iter().map(|claim| &claim.process);
        for process in record.master.iter().chain(claimed) {
            self.masters.entry(process.run_id.clone()).or_insert(at);
        }
    }

    /// Takes one state of a pod.
    pub fn pod(&mut self, at: Micros, pod: &Pod) {
        let uid = pod.uid().unwrap_or_default();
        if pod.metadata.deletion_timestamp.is_some() {
            self.goes(uid.clone(), at.saturating_sub(WATCH_LAG));
        }
        let statuses = pod
            .status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten());
        for status in statuses.filter(|status| status.name == names::CONTAINER_REDIS) {
            let ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
            let id = status.container_id.clone().filter(|id| !id.is_empty());
            let first = id.map(|id| {
                (
                    self.containers.entry(uid.clone()).or_insert_with(|| id.clone()).clone(),
                    id,
                )
            });
            if ended || first.is_some_and(|(first, now)| first != now) {
                self.goes(uid.clone(), at.saturating_sub(KUBELET_LAG));
            }
        }
    }

    /// Takes the end of a pod's object.
    pub fn deleted(&mut self, at: Micros, pod: &Pod) {
        self.goes(pod.uid().unwrap_or_default(), at.saturating_sub(WATCH_LAG));
    }

    fn goes(&mut self, uid: String, at: Micros) {
        let since = self.gone.entry(uid).or_insert(at);
        *since = at.min(*since);
    }

    /// How many processes were recorded that this earlier record did not have.
    pub fn newer_than(&self, record: &Record) -> usize {
        let known = |run_id: &&String| record.processes().any(|process| process.run_id == **run_id);
        self.pods.keys().filter(|run_id| !known(run_id)).count()
    }

    /// Why a reader of this process may be cut at this moment. A process that nobody recorded has no excuse: no reader is
    /// to be led there.
    pub fn excuse(&self, run_id: &str, at: Micros) -> Option<Excuse> {
        let master = self.masters.get(run_id).map(|since| since.saturating_sub(WATCH_LAG));
        if master.is_some_and(|since| since <= at) {
            return Some(Excuse::Master);
        }
        let gone = self.pods.get(run_id).and_then(|uid| self.gone.get(uid));
        gone.is_some_and(|since| *since <= at).then_some(Excuse::Gone)
    }

    /// Everything that one reader was cut off from. A connection that did not come about is none: it only lengthens the
    /// time in which nothing was read.
    pub fn cuts(&self, reader: &History) -> Vec<Cut> {
        let broken = reader.attempts.iter().filter_map(|attempt| {
            let Outcome::Failed { kind } = &attempt.outcome else {
                return None;
            };
            let server = attempt.server.clone()?;
            Some(Cut {
                at: attempt.at,
                excuse: self.excuse(&server, attempt.at),
                server,
                kind: kind.clone(),
            })
        });
        broken.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{attempt, history, ms, reign};
    use serde_json::{Value, json};

    fn process(name: &str) -> Value {
        json!({ "pod": format!("redis-{name}"), "uid": format!("uid-{name}"), "runId": name, "address": "10.0.0.1" })
    }

    /// `a` is master, `b` and `c` follow.
    fn recorded(master: &str, claimed: Option<&str>) -> Record {
        let mut record = Record::first("h");
        record.master = Some(serde_json::from_value(process(master)).unwrap());
        record.claim = claimed.map(|name| {
            let mut claim = process(name);
            (claim["id"], claim["offset"]) = (json!("i"), json!(1));
            serde_json::from_value(claim).unwrap()
        });
        for name in ["a", "b", "c"].into_iter().filter(|name| *name != master) {
            let mut member = process(name);
            member["stage"] = json!("full");
            let member = serde_json::from_value(member).unwrap();
            record.members.insert(format!("redis-{name}"), member);
        }
        record
    }

    fn pod(name: &str, container: &str, state: &str, going: bool) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": format!("redis-{name}"), "uid": format!("uid-{name}"),
                "deletionTimestamp": going.then_some("2026-01-31T12:00:00Z"),
            },
            "status": { "containerStatuses": [{
                "name": names::CONTAINER_REDIS, "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "containerID": container, "state": { state: { "exitCode": 0 } },
            }] },
        }))
        .unwrap()
    }

    /// Ten seconds in, `a` has handed over to `b`.
    fn lives() -> Lives {
        let mut lives = Lives::default();
        lives.record(ms(0), &recorded("a", None));
        for name in ["a", "b", "c"] {
            lives.pod(ms(0), &pod(name, name, "running", false));
        }
        lives.record(ms(10_000), &recorded("a", Some("b")));
        lives.record(ms(10_050), &recorded("b", None));
        lives
    }

    fn cut(server: &str, at: u64) -> History {
        let closed = Outcome::Failed {
            kind: "closed".to_owned(),
        };
        history(vec![reign(server, 100, 200), vec![attempt(999, at, server, closed)]])
    }

    fn excuse(lives: &Lives, server: &str, at: u64) -> Option<Excuse> {
        let cuts = lives.cuts(&cut(server, at));
        assert_eq!(cuts.len(), 1);
        cuts[0].excuse
    }

    #[test]
    fn the_third_one_has_no_excuse_at_any_time() {
        for at in [300, 9_990, 10_010, 10_060, 30_000] {
            assert_eq!(excuse(&lives(), "c", at), None, "{at} ms");
        }
    }

    #[test]
    fn a_change_of_master_excuses_both_and_only_from_then_on() {
        assert_eq!(excuse(&lives(), "a", 300), Some(Excuse::Master));
        assert_eq!(excuse(&lives(), "b", 10_020), Some(Excuse::Master));
        assert_eq!(excuse(&lives(), "b", 30_000), Some(Excuse::Master));
        assert_eq!(excuse(&lives(), "b", 9_000), None, "a second before it was claimed");
    }

    #[test]
    fn a_pod_that_goes_excuses_from_then_on() {
        let mut lives = lives();
        lives.pod(ms(20_000), &pod("c", "c", "running", true));
        assert_eq!(excuse(&lives, "c", 20_100), Some(Excuse::Gone));
        assert_eq!(excuse(&lives, "c", 19_000), None, "a second before");
        let mut lives = self::lives();
        lives.deleted(ms(20_000), &pod("c", "c", "running", false));
        assert_eq!(excuse(&lives, "c", 20_000), Some(Excuse::Gone));
    }

    #[test]
    fn a_container_that_ended_excuses_for_as_long_as_kubelet_needs() {
        for (container, state) in [("c", "terminated"), ("c2", "running")] {
            let mut lives = lives();
            lives.pod(ms(20_000), &pod("c", container, state, false));
            assert_eq!(excuse(&lives, "c", 17_500), Some(Excuse::Gone), "{container}");
            assert_eq!(excuse(&lives, "c", 16_500), None, "{container}");
        }
    }

    #[test]
    fn a_process_that_came_later_is_new() {
        let mut lives = lives();
        assert_eq!(lives.newer_than(&recorded("a", None)), 0);
        let mut record = recorded("b", None);
        record.members.get_mut("redis-c").unwrap().process.run_id = "d".to_owned();
        lives.record(ms(20_000), &record);
        assert_eq!(lives.newer_than(&recorded("a", None)), 1);
    }

    #[test]
    fn a_process_that_nobody_recorded_has_no_excuse() {
        assert_eq!(excuse(&lives(), "x", 300), None);
    }

    #[test]
    fn a_refused_read_is_a_cut_and_a_refused_connection_is_none() {
        let refused = |server: Option<&str>, kind: &str| {
            let outcome = Outcome::Failed { kind: kind.to_owned() };
            let mut attempt = attempt(1, 300, "", outcome);
            attempt.server = server.map(str::to_owned);
            lives().cuts(&history(vec![vec![attempt]]))
        };
        assert_eq!(refused(Some("c"), "MASTERDOWN").len(), 1);
        assert_eq!(refused(None, "refused"), []);
        assert_eq!(lives().cuts(&history(vec![reign("c", 100, 200)])), []);
    }
}
