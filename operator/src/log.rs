//! Log lines: one `info` per change of state.

use crate::args::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Libraries that report as errors what is told better, and once, by whoever asked.
const QUIET: &str = "k8s_controller=error,kube_client::client::builder=off,kube_runtime::watcher=error";

/// Starts logging to standard output. `filter` has been checked by the arguments; it wins over [`QUIET`].
pub fn start(format: LogFormat, filter: &str) {
    let log = fmt().with_env_filter(quietened(filter));
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

fn quietened(filter: &str) -> EnvFilter {
    EnvFilter::new(format!("{QUIET},{filter}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// kube warns of each attempt at a watch that is forbidden.
    #[test]
    fn o01_what_is_told_once_is_not_told_at_each_attempt() {
        let lines = Lines::default();
        let own = lines.clone();
        let log = fmt()
            .with_env_filter(quietened("info"))
            .with_writer(move || own.clone());
        tracing::subscriber::with_default(log.finish(), || {
            tracing::warn!(target: "kube_runtime::watcher", "watch list error with 403");
            tracing::warn!(target: "redis_operator::mirror", "cannot watch");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("cannot watch") && !text.contains("403"), "{text}");
    }
}
