//! The kubelet's probes and its preStop hook: scripts in the ConfigMap that ask the server as their own user.
//!
//! *Loading* and *busy* are alive, so that neither a dataset that loads for an hour nor a long script costs a process;
//! only silence does, which also ends a hung one.

use k8s_openapi::api::core::v1::{ExecAction, Lifecycle, LifecycleHandler, Probe};

use crate::config::CONFIG_DIR;

/// The scripts by file name.
pub(super) const SCRIPTS: [(&str, &str); 5] = [
    ("ask.sh", include_str!("scripts/ask.sh")),
    ("liveness.sh", include_str!("scripts/liveness.sh")),
    ("prestop.sh", include_str!("scripts/prestop.sh")),
    ("readiness.sh", include_str!("scripts/readiness.sh")),
    ("startup.sh", include_str!("scripts/startup.sh")),
];

/// A day of loading, one look a second.
const STARTUP_LOOKS: i32 = 24 * 60 * 60;

/// Ends a process that stays silent: after 10 to 15 s, without the usual time to stop, for it does not listen.
pub(super) fn liveness() -> Probe {
    Probe {
        period_seconds: Some(5),
        termination_grace_period_seconds: Some(1),
        ..script("liveness.sh", 3)
    }
}

/// Master, or replica with its link up.
pub(super) fn readiness() -> Probe {
    Probe {
        period_seconds: Some(5),
        ..script("readiness.sh", 3)
    }
}

/// Holds the other two off until the data is loaded. One key can take longer to load than liveness waits.
pub(super) fn startup() -> Probe {
    Probe {
        period_seconds: Some(1),
        ..script("startup.sh", STARTUP_LOOKS)
    }
}

/// Holds SIGTERM off until another one is master.
pub(super) fn lifecycle() -> Lifecycle {
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            exec: Some(exec("prestop.sh")),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

fn exec(name: &str) -> ExecAction {
    ExecAction {
        command: Some(vec![format!("{CONFIG_DIR}/{name}")]),
    }
}

fn script(name: &str, failures: i32) -> Probe {
    Probe {
        exec: Some(exec(name)),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
