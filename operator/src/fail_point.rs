//! Named points at which a test ends or stops this very process, to show that it may happen anywhere.

use rustix::process::{Signal, getpid, kill_process};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where, and with which signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailPoint {
    name: String,
    signal: Signal,
}

struct Armed {
    point: FailPoint,
    fired: AtomicBool,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

impl FromStr for FailPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, action) = text.split_once(':').unwrap_or((text, "kill"));
        let signal = match action {
            "kill" => Signal::KILL,
            "stop" => Signal::STOP,
            other => return Err(format!("{other:?} is no action of a fail point: write kill or stop")),
        };
        if name.is_empty() {
            return Err("a fail point has a name: write NAME, NAME:kill or NAME:stop".to_owned());
        }
        let name = name.to_owned();
        Ok(Self { name, signal })
    }
}

impl FailPoint {
    fn names(&self, name: &str) -> bool {
        let part = name.split_once('.').map(|(_, part)| part);
        self.name == name || part == Some(&self.name)
    }
}

/// Arms the fail point of this process, once.
pub fn arm(point: FailPoint) {
    tracing::warn!(?point, "a fail point is armed: this process will end or stop itself");
    // a second call changes nothing
    let _ = ARMED.set(Armed {
        point,
        fired: AtomicBool::new(false),
    });
}

/// Marks a point. If it is the armed one and is reached for the first time, the process gets its signal before this
/// returns; otherwise nothing happens. Of `WHY.WHERE`, `WHERE` alone arms every point that ends so.
pub fn reach(name: &str) {
    let Some(armed) = ARMED.get() else { return };
    if !armed.point.names(name) || armed.fired.swap(true, Ordering::SeqCst) {
        return;
    }
    tracing::warn!(name, signal = ?armed.point.signal, "fail point reached");
    if let Err(error) = kill_process(getpid(), armed.point.signal) {
        tracing::error!(%error, "could not signal this process");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn kill_is_the_default() {
        assert_eq!(
            "a-b".parse(),
            Ok(FailPoint {
                name: "a-b".to_owned(),
                signal: Signal::KILL
            })
        );
        assert_eq!(
            "a:stop".parse(),
            Ok(FailPoint {
                name: "a".to_owned(),
                signal: Signal::STOP
            })
        );
        assert!(":kill".parse::<FailPoint>().is_err());
    }

    #[test]
    fn the_reason_may_be_left_out() {
        let names = |point: &str, name: &str| point.parse::<FailPoint>().unwrap().names(name);
        assert!(names("freeze.after-freeze", "freeze.after-freeze"));
        assert!(names("after-freeze", "freeze.after-freeze"));
        assert!(!names("elect.after-freeze", "freeze.after-freeze"));
        assert!(!names("freeze", "freeze.after-freeze"));
    }

    const VICTIM: &str = "REDIS_OPERATOR_TEST_VICTIM";

    /// Run by the test below, in a process of its own.
    #[test]
    #[ignore = "ends its process"]
    fn victim() {
        if std::env::var_os(VICTIM).is_none() {
            return;
        }
        reach("here");
        arm("here".parse().unwrap());
        reach("elsewhere");
        println!("alive so far");
        reach("here");
        println!("still alive");
    }

    #[test]
    fn the_process_ends_at_the_armed_point_and_nowhere_else() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fail_point::tests::victim", "--ignored", "--nocapture"])
            .env(VICTIM, "1")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("alive so far") && !said.contains("still alive"), "{said}");
        assert_eq!(output.status.signal(), Some(9));
    }
}
