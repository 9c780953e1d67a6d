//! What can be configured. Every flag has a variable of the environment, for a Deployment sets those more easily.

use crate::duration;
use crate::fail_point::FailPoint;
use clap::{Args as ClapArgs, Parser, ValueEnum};
use std::net::SocketAddr;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Keeps a Redis or Valkey master with its replicas alive: watches every instance, replaces a master that has ended
/// and publishes the new one.
#[derive(Clone, Debug, Parser)]
#[command(name = "redis-operator", version)]
pub struct Args {
    /// Namespace whose Redis resources are served; all namespaces if absent.
    #[arg(long, env = "REDIS_OPERATOR_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    pub watch_namespace: Option<String>,

    /// Who this process is.
    #[command(flatten)]
    pub identity: Identity,

    /// Who leads.
    #[command(flatten)]
    pub lease: Lease,

    /// Time between two probes of an instance.
    #[arg(long, env = "REDIS_OPERATOR_PROBE_EVERY", value_name = "DURATION", default_value = "500ms", value_parser = duration::parse)]
    pub probe_every: Duration,

    /// Longest wait for an answer of an instance; also for a connection to it.
    #[arg(long, env = "REDIS_OPERATOR_CALL_LIMIT", value_name = "DURATION", default_value = "500ms", value_parser = duration::parse)]
    pub call_limit: Duration,

    /// Longest wait for an answer of the API server.
    #[arg(long, env = "REDIS_OPERATOR_API_LIMIT", value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    pub api_limit: Duration,

    /// Longest life of one watch at the API server, whole seconds. One that is silent for 2 s longer is dead and begun
    /// anew; beginning anew lists nothing.
    #[arg(long, env = "REDIS_OPERATOR_WATCH_LIMIT", value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    pub watch_limit: Duration,

    /// Resources whose objects and status are written at the same time. It spares the API server when an operator begins
    /// to lead or is updated; watching, deciding and failing over wait for nobody.
    #[arg(long, env = "REDIS_OPERATOR_CONCURRENCY", value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,

    /// Where /metrics, /healthz and /readyz are served.
    #[arg(
        long,
        env = "REDIS_OPERATOR_ADMIN_ADDRESS",
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:8080"
    )]
    pub admin_address: SocketAddr,

    /// Form of the log lines.
    #[arg(long, env = "REDIS_OPERATOR_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: a level, or levels by target, such as info,redis_operator=debug.
    #[arg(long, env = "REDIS_OPERATOR_LOG", value_name = "FILTER", default_value = "info", value_parser = filter)]
    pub log: String,

    /// Ends or stops this process when it reaches a named point; for tests only.
    #[arg(
        long,
        env = "REDIS_OPERATOR_FAIL_POINT",
        value_name = "NAME[:kill|:stop]",
        hide = true
    )]
    pub fail_point: Option<FailPoint>,
}

/// Who this process is.
#[derive(Clone, Debug, ClapArgs)]
pub struct Identity {
    /// Name of this pod; part of what the lease and the records show.
    #[arg(long, env = "POD_NAME", value_name = "NAME", default_value = "redis-operator-local")]
    pub pod_name: String,

    /// Namespace of this pod: the lease and the key Secret are kept there. If absent, that of the service account or
    /// of the kubeconfig's context.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Node of this pod; only shown.
    #[arg(long, env = "NODE_NAME", value_name = "NAME", default_value = "")]
    pub node: String,
}

/// Who leads.
#[derive(Clone, Debug, ClapArgs)]
pub struct Lease {
    /// Name of the Lease by which the leader is chosen.
    #[arg(
        long,
        env = "REDIS_OPERATOR_LEASE_NAME",
        value_name = "NAME",
        default_value = "redis-operator"
    )]
    pub lease_name: String,

    /// A leader that has not renewed its lease for this long is replaced. Whole seconds.
    #[arg(long, env = "REDIS_OPERATOR_LEASE_DURATION", value_name = "DURATION", default_value = "3s", value_parser = duration::parse)]
    pub lease_duration: Duration,

    /// A leader that could not renew its lease for this long stops. Shorter than the lease's duration, so that it has
    /// stopped before another one begins.
    #[arg(long, env = "REDIS_OPERATOR_RENEW_DEADLINE", value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    pub renew_deadline: Duration,

    /// Time between two renewals, or two looks at another's lease. Shorter than the renewal deadline.
    #[arg(long, env = "REDIS_OPERATOR_RETRY_PERIOD", value_name = "DURATION", default_value = "500ms", value_parser = duration::parse)]
    pub retry_period: Duration,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Args {
    /// Checks what no single flag can say. The error is a sentence that names the flags and what to change.
    pub fn validate(&self) -> Result<(), String> {
        let Lease {
            lease_name: _,
            lease_duration,
            renew_deadline,
            retry_period,
        } = &self.lease;
        if lease_duration.subsec_nanos() != 0 {
            return Err("--lease-duration must be whole seconds, because the Lease stores no fractions".to_owned());
        }
        if renew_deadline >= lease_duration {
            return Err(format!(
                "--renew-deadline ({renew_deadline:?}) must be shorter than --lease-duration ({lease_duration:?}): a leader must \
                 have stopped before another one begins"
            ));
        }
        if retry_period >= renew_deadline {
            return Err(format!(
                "--retry-period ({retry_period:?}) must be shorter than --renew-deadline ({renew_deadline:?}): there must be time \
                 for a second attempt"
            ));
        }
        if self.watch_limit.subsec_nanos() != 0 || self.watch_limit < SHORTEST_WATCH {
            return Err(format!(
                "--watch-limit ({:?}) must be whole seconds, at least {SHORTEST_WATCH:?}: the API server sends its last bookmark \
                 2 s before the end",
                self.watch_limit
            ));
        }
        if self.call_limit >= LONGEST_CALL {
            return Err(format!(
                "--call-limit ({:?}) must be shorter than {LONGEST_CALL:?}: an operator that hears nothing for so long takes it \
                 for its own sleep, and would never call an instance silent",
                self.call_limit
            ));
        }
        Ok(())
    }
}

/// Half of what counts as sleep, so that no single call looks like it.
const LONGEST_CALL: Duration = Duration::from_millis(2_500);
const SHORTEST_WATCH: Duration = Duration::from_secs(4);

fn filter(text: &str) -> Result<String, String> {
    EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{error}: write a level, or levels by target, such as info,redis_operator=debug"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::state::ASLEEP;
    use clap::CommandFactory;

    fn parsed(args: &[&str]) -> Args {
        Args::try_parse_from([&["redis-operator"], args].concat()).unwrap()
    }

    #[test]
    fn the_defaults_are_valid() {
        Args::command().debug_assert();
        let args = parsed(&[]);
        assert_eq!(args.validate(), Ok(()));
        assert_eq!(args.lease.lease_duration, Duration::from_secs(3));
        assert_eq!(args.lease.renew_deadline, Duration::from_secs(2));
        assert_eq!(args.lease.retry_period, Duration::from_millis(500));
    }

    #[test]
    fn every_flag_has_a_variable() {
        for arg in Args::command().get_arguments() {
            let id = arg.get_id().as_str();
            assert!(arg.get_env().is_some() || ["help", "version"].contains(&id), "{id}");
        }
    }

    #[test]
    fn lease_timings_that_would_let_two_lead_are_refused() {
        for wrong in [
            ["--lease-duration=2s", "--renew-deadline=2s"],
            ["--lease-duration=2500ms", "--renew-deadline=2s"],
            ["--renew-deadline=1s", "--retry-period=1s"],
        ] {
            let message = parsed(&wrong).validate().unwrap_err();
            assert!(message.contains("must be"), "{message}");
        }
    }

    #[test]
    fn a_watch_too_short_for_a_bookmark_is_refused() {
        assert!(parsed(&["--watch-limit=3s"]).validate().is_err());
        assert!(parsed(&["--watch-limit=4500ms"]).validate().is_err());
    }

    #[test]
    fn a_call_as_long_as_a_sleep_is_refused() {
        assert_eq!(LONGEST_CALL, ASLEEP / 2);
        for wrong in ["--call-limit=2500ms", "--call-limit=5s", "--call-limit=1m"] {
            let message = parsed(&[wrong]).validate().unwrap_err();
            assert!(
                message.contains("--call-limit") && message.contains("shorter than 2.5s"),
                "{message}"
            );
        }
        assert_eq!(parsed(&["--call-limit=2s"]).validate(), Ok(()));
    }

    #[test]
    fn mistakes_are_answered_with_a_sentence() {
        for (wrong, says) in [
            ("--probe-every=fast", "500ms, 2s or 1m"),
            ("--log=redis_operator=loud", "such as info"),
            ("--fail-point=x:explode", "kill or stop"),
            ("--concurrency=0", "1.."),
            ("--admin-address=8080", "admin-address"),
        ] {
            let message = Args::try_parse_from(["redis-operator", wrong]).unwrap_err().to_string();
            assert!(message.contains(says), "{wrong}: {message}");
        }
    }
}
