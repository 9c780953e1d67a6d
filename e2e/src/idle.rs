//! What the operator costs while nothing happens: memory and time from /proc, requests from the API server's metrics.

use crate::cluster::Cluster;
use crate::fault::Process;
use crate::operator;
use crate::space::call;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use tokio::time::sleep;

/// Clock ticks of /proc per second: fixed on Linux.
const TICKS: f64 = 100.0;
/// What the API server counts apart, first match first: the lease, other writes, everything else.
const COUNTED: [(&str, &[&str], &str); 3] = [
    ("lease", &["*"], "leases"),
    (
        "writes",
        &["create", "update", "patch", "delete", "deletecollection"],
        "*",
    ),
    ("reads", &["*"], "*"),
];

/// One operator process over a time without events.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Its pod.
    pub pod: String,
    /// It held the lease.
    pub leads: bool,
    /// Resident memory at the end, in MB.
    pub rss_mb: f64,
    /// Share of one core, in percent.
    pub cpu_percent: f64,
}

/// The operator over a time without events.
#[derive(Clone, Debug)]
pub struct Idle {
    /// One per operator process.
    pub processes: Vec<Usage>,
    /// Requests that keep the lease.
    pub lease: f64,
    /// Other requests that change something.
    pub writes: f64,
    /// Requests that change nothing, watches included.
    pub reads: f64,
}

impl Idle {
    /// Whether nothing was written but the lease, and that was.
    pub fn judge(&self) -> Result<()> {
        ensure!(self.lease > 0.0, "nothing was counted, not even the lease");
        ensure!(
            self.writes == 0.0,
            "{} writes to the API server beside the lease",
            self.writes
        );
        Ok(())
    }
}

/// Watches the operator for a while.
pub async fn measure(cluster: &Cluster, time: Duration) -> Result<Idle> {
    let leader = operator::leader(cluster).await?.name_any();
    let pods = operator::pods(cluster).await?;
    let local = cluster.local()?;
    let processes = pods
        .iter()
        .map(|pod: &Pod| Process::of(local, pod, operator::CONTAINER));
    let processes = processes.collect::<Result<Vec<_>>>()?;
    count(cluster).await?;
    let requests = async || -> Result<Vec<f64>> {
        let metrics = metrics(cluster).await?;
        Ok(COUNTED
            .iter()
            .map(|(name, _, _)| dispatched(&metrics, &schema(name)))
            .collect())
    };
    let before = processes
        .iter()
        .map(|it| cpu_seconds(it.pid))
        .collect::<Result<Vec<_>>>()?;
    let asked = requests().await?;
    sleep(time).await;
    let asked_then = requests().await?;
    let mut usages = Vec::new();
    for (process, before) in processes.iter().zip(before) {
        usages.push(Usage {
            leads: process.pod == leader,
            rss_mb: rss_mb(process.pid)?,
            cpu_percent: (cpu_seconds(process.pid)? - before) / time.as_secs_f64() * 100.0,
            pod: process.pod.clone(),
        });
    }
    stop_counting(cluster).await?;
    let mut counts = asked.iter().zip(asked_then).map(|(before, after)| after - before);
    let mut next = || counts.next().context("a count");
    Ok(Idle {
        processes: usages,
        lease: next()?,
        writes: next()?,
        reads: next()?,
    })
}

fn schema(name: &str) -> String {
    format!("{}-{name}", operator::NAME)
}

/// A flow schema makes the API server count what it matches.
async fn count(cluster: &Cluster) -> Result<()> {
    let schemas = Api::<FlowSchema>::all(cluster.client.clone());
    for (precedence, (name, verbs, resources)) in (100..).zip(COUNTED) {
        let account = json!({ "name": operator::NAME, "namespace": operator::NAMESPACE });
        let rule = json!({
            "subjects": [{ "kind": "ServiceAccount", "serviceAccount": account }],
            "resourceRules": [{
                "verbs": verbs, "apiGroups": ["*"], "resources": [resources], "namespaces": ["*"], "clusterScope": true,
            }],
        });
        let object: Value = json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
            "metadata": { "name": schema(name) },
            "spec": {
                "matchingPrecedence": precedence, "priorityLevelConfiguration": { "name": "workload-high" },
                "rules": [rule],
            },
        });
        let params = PatchParams::apply("e2e").force();
        call(schemas.patch(&schema(name), &params, &Patch::Apply(object))).await?;
    }
    // the API server reads its own configuration within a few seconds
    sleep(Duration::from_secs(5)).await;
    Ok(())
}

async fn stop_counting(cluster: &Cluster) -> Result<()> {
    let schemas = Api::<FlowSchema>::all(cluster.client.clone());
    for (name, _, _) in COUNTED {
        call(schemas.delete(&schema(name), &DeleteParams::default())).await?;
    }
    Ok(())
}

async fn metrics(cluster: &Cluster) -> Result<String> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    call(cluster.client.request_text(request)).await
}

fn dispatched(metrics: &str, schema: &str) -> f64 {
    let name = "apiserver_flowcontrol_dispatched_requests_total{";
    let label = format!("flow_schema=\"{schema}\"");
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(&label));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(ticks(&stat).context("/proc/…/stat")? / TICKS)
}

/// User and system time: the fields 14 and 15, counted after the name, which may contain anything.
fn ticks(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<f64>().ok();
    Some(field()? + field()?)
}

fn rss_mb(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kb.context("no VmRSS")? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_counted_after_the_name() {
        assert_eq!(ticks("7 (a) b) S 1 1 1 0 -1 4 9 0 0 0 30 12 0 0 20 0"), Some(42.0));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn only_the_lease_may_be_written() {
        let idle = |lease, writes| Idle {
            processes: vec![],
            lease,
            writes,
            reads: 9.0,
        };
        assert!(idle(120.0, 0.0).judge().is_ok());
        assert!(idle(120.0, 1.0).judge().is_err() && idle(0.0, 0.0).judge().is_err());
    }

    #[test]
    fn requests_are_summed_by_schema() {
        let metrics = "apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"a\",priority_level=\"x\"} 3\n\
                       apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"a\",priority_level=\"y\"} 1e+01\n\
                       apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"ab\",priority_level=\"x\"} 5\n";
        assert_eq!(dispatched(metrics, "a"), 13.0);
        assert_eq!(dispatched(metrics, "c"), 0.0);
    }

    #[test]
    fn this_process_has_a_size() {
        assert!(rss_mb(std::process::id()).unwrap() > 0.1);
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
    }
}
