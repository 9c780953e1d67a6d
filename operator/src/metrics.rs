//! What can be counted. Every label comes from a bounded set.

use crate::shortage;
use crate::trace::Cause;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A condition of a resource: its type and its status (`True`, `False`, `Unknown`).
type Condition = (String, String);

/// What is shown of one resource.
#[derive(Default)]
struct Shown {
    conditions: Vec<Condition>,
    instances: usize,
}

/// All metrics of this process.
pub struct Metrics {
    registry: Registry,
    reconciles: HistogramVec,
    failovers: IntCounterVec,
    switchovers: IntCounter,
    failover_seconds: Histogram,
    leading: IntGauge,
    resources: IntGaugeVec,
    shown: Mutex<BTreeMap<String, Shown>>,
    instances: IntGauge,
    stale: IntGaugeVec,
    api_writes: IntCounterVec,
    server_calls: IntCounterVec,
    shortages: IntCounter,
}

/// A pass takes milliseconds; only calls that run into their limits make it seconds.
const RECONCILE_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];
/// From a process that ended on a quiet cluster to waiting for a quorum.
const FAILOVER_BUCKETS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0];

impl Metrics {
    /// Registers everything. An error means that two metrics have one name.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            reconciles: HistogramVec::new(
                HistogramOpts::new(
                    "redis_operator_reconcile_duration_seconds",
                    "Duration of passes, by outcome",
                )
                .buckets(RECONCILE_BUCKETS.to_vec()),
                &["outcome"],
            )?,
            failovers: IntCounterVec::new(
                Opts::new(
                    "redis_operator_failovers_total",
                    "Masters that were replaced unplanned, by what befell them",
                ),
                &["reason"],
            )?,
            switchovers: IntCounter::new(
                "redis_operator_switchovers_total",
                "Masters that were replaced as planned",
            )?,
            failover_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "redis_operator_failover_duration_seconds",
                    "Time from noticing that a master ended to publishing the next one",
                )
                .buckets(FAILOVER_BUCKETS.to_vec()),
            )?,
            leading: IntGauge::new("redis_operator_leading", "1 while this process leads")?,
            resources: IntGaugeVec::new(
                Opts::new("redis_operator_resources", "Redis resources, by condition"),
                &["condition", "status"],
            )?,
            shown: Mutex::default(),
            instances: IntGauge::new("redis_operator_instances_watched", "Instances with a held connection")?,
            stale: IntGaugeVec::new(
                Opts::new(
                    "redis_operator_watch_failing_seconds",
                    "For how long the watch of a kind has failed; its copy is as old",
                ),
                &["kind"],
            )?,
            api_writes: IntCounterVec::new(
                Opts::new(
                    "redis_operator_api_writes_total",
                    "Writes sent to the API server, by kind",
                ),
                &["verb", "kind"],
            )?,
            server_calls: IntCounterVec::new(
                Opts::new(
                    "redis_operator_server_calls_total",
                    "Commands of plans to instances, by verb and outcome",
                ),
                &["verb", "outcome"],
            )?,
            shortages: IntCounter::new(
                "redis_operator_socket_shortages_total",
                "Attempts to reach an instance for which the operator had no socket",
            )?,
            registry,
        };
        metrics.register()?;
        // a counter that is not there before it counts cannot be seen to grow
        for cause in Cause::ALL {
            metrics.failovers.with_label_values(&[cause.label()]).inc_by(0);
        }
        Ok(Arc::new(metrics))
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.reconciles.clone()))?;
        self.registry.register(Box::new(self.failovers.clone()))?;
        self.registry.register(Box::new(self.switchovers.clone()))?;
        self.registry.register(Box::new(self.failover_seconds.clone()))?;
        self.registry.register(Box::new(self.leading.clone()))?;
        self.registry.register(Box::new(self.resources.clone()))?;
        self.registry.register(Box::new(self.instances.clone()))?;
        self.registry.register(Box::new(self.stale.clone()))?;
        self.registry.register(Box::new(self.api_writes.clone()))?;
        self.registry.register(Box::new(self.server_calls.clone()))?;
        self.registry.register(Box::new(self.shortages.clone()))
    }

    /// A pass ended; `outcome` is `ok` or an error's label.
    pub fn reconciled(&self, outcome: &str, took: Duration) {
        self.reconciles
            .with_label_values(&[outcome])
            .observe(took.as_secs_f64());
    }

    /// A master was replaced, for this cause or as planned; `took` is the time from noticing what befell it to publishing its
    /// successor.
    pub fn replaced(&self, cause: Option<Cause>, took: Duration) {
        let Some(cause) = cause else {
            return self.switchovers.inc();
        };
        self.failovers.with_label_values(&[cause.label()]).inc();
        self.failover_seconds.observe(took.as_secs_f64());
    }

    /// This process leads, until the guard is dropped.
    pub fn leading(self: &Arc<Self>) -> Leading {
        self.leading.set(1);
        Leading(Arc::clone(self))
    }

    /// The conditions of one resource (`namespace/name`) are now these.
    pub fn conditions<'a>(&self, redis: &str, conditions: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let conditions = conditions
            .into_iter()
            .map(|(kind, status)| (kind.to_owned(), status.to_owned()));
        self.shown().entry(redis.to_owned()).or_default().conditions = conditions.collect();
    }

    /// So many instances of one resource (`namespace/name`) have a held connection.
    pub fn instances(&self, redis: &str, count: usize) {
        self.shown().entry(redis.to_owned()).or_default().instances = count;
    }

    /// For so long the watch of each kind has failed.
    pub fn stale(&self, ages: &BTreeMap<String, Duration>) {
        for (kind, age) in ages {
            let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
            self.stale.with_label_values(&[kind]).set(seconds);
        }
    }

    /// The resource is gone.
    pub fn forget(&self, redis: &str) {
        self.shown().remove(redis);
    }

    /// A write was sent to the API server.
    pub fn wrote(&self, verb: &str, kind: &str) {
        self.api_writes.with_label_values(&[verb, kind]).inc();
    }

    /// An instance was called; `outcome` is `ok` or an error's label.
    pub fn called(&self, verb: &str, outcome: &str) {
        self.server_calls.with_label_values(&[verb, outcome]).inc();
    }

    /// Everything, in Prometheus' text format.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let known = self.shortages.get();
        self.shortages.inc_by(shortage::count().saturating_sub(known));
        self.resources.reset();
        let shown = self.shown();
        for (kind, status) in shown.values().flat_map(|shown| &shown.conditions) {
            self.resources.with_label_values(&[kind, status]).inc();
        }
        let instances: usize = shown.values().map(|shown| shown.instances).sum();
        self.instances.set(i64::try_from(instances).unwrap_or(i64::MAX));
        drop(shown);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Shown>> {
        // a panic elsewhere cannot leave a half-written entry behind
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, this process leads.
pub struct Leading(Arc<Metrics>);

impl Drop for Leading {
    fn drop(&mut self) {
        self.0.leading.set(0);
        // only the leader knows them
        self.0.shown().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_counted_by_condition() {
        let metrics = Metrics::new().unwrap();
        metrics.conditions("a/x", [("Ready", "True")]);
        metrics.conditions("a/y", [("Ready", "True")]);
        metrics.conditions("a/y", [("Ready", "False")]);
        metrics.conditions("a/z", [("Ready", "True")]);
        metrics.forget("a/z");
        let text = metrics.text().unwrap();
        assert!(
            text.contains(r#"redis_operator_resources{condition="Ready",status="True"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"redis_operator_resources{condition="Ready",status="False"} 1"#),
            "{text}"
        );
    }

    #[test]
    fn instances_of_all_resources_are_counted() {
        let metrics = Metrics::new().unwrap();
        let leading = metrics.leading();
        let says = |count: usize| {
            let text = metrics.text().unwrap();
            assert!(
                text.contains(&format!("redis_operator_instances_watched {count}\n")),
                "{text}"
            );
        };
        says(0);
        metrics.instances("a/x", 3);
        metrics.instances("a/y", 3);
        says(6);
        metrics.instances("a/x", 2);
        metrics.forget("a/y");
        says(2);
        drop(leading);
        says(0);
    }

    #[test]
    fn a_watch_that_fails_is_shown() {
        let metrics = Metrics::new().unwrap();
        for (seconds, shown) in [(31, "31"), (0, "0")] {
            metrics.stale(&BTreeMap::from([("Pod".to_owned(), Duration::from_secs(seconds))]));
            let text = metrics.text().unwrap();
            let line = format!(r#"redis_operator_watch_failing_seconds{{kind="Pod"}} {shown}"#);
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn a_standby_shows_nothing_of_the_leader() {
        let metrics = Metrics::new().unwrap();
        let leading = metrics.leading();
        metrics.conditions("a/x", [("Ready", "True")]);
        assert!(metrics.text().unwrap().contains("redis_operator_leading 1"));
        drop(leading);
        let text = metrics.text().unwrap();
        assert!(
            text.contains("redis_operator_leading 0") && !text.contains("Ready"),
            "{text}"
        );
    }

    #[test]
    fn failovers_have_a_histogram_and_a_reason() {
        let metrics = Metrics::new().unwrap();
        metrics.replaced(Some(Cause::Hung), Duration::from_millis(7));
        metrics.replaced(None, Duration::from_millis(7));
        let text = metrics.text().unwrap();
        assert!(
            text.contains(r#"redis_operator_failover_duration_seconds_bucket{le="0.005"} 0"#),
            "{text}"
        );
        assert!(
            text.contains(r#"redis_operator_failover_duration_seconds_bucket{le="0.01"} 1"#),
            "{text}"
        );
        for (reason, count) in [("hung", 1), ("ended", 0)] {
            let line = format!("redis_operator_failovers_total{{reason=\"{reason}\"}} {count}");
            assert!(text.contains(&line), "{text}");
        }
        assert!(text.contains("redis_operator_switchovers_total 1"), "{text}");
    }
}
