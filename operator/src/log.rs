//! Log lines: one `info` per change of state.

use crate::args::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Libraries that report as errors what is told better, and once, by whoever asked.
const QUIET: &str = "k8s_controller=error,kube_client::client::builder=off";

/// Starts logging to standard output. `filter` has been checked by the arguments; it wins over [`QUIET`].
pub fn start(format: LogFormat, filter: &str) {
    let filter = EnvFilter::new(format!("{QUIET},{filter}"));
    let log = fmt().with_env_filter(filter);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
