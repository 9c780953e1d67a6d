//! Named points at which a test ends or stops this very process, to show that it may happen anywhere.

use rustix::process::{Signal, getpid, kill_process};
use std::fs;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::yield_now;

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
    while stop_is_pending() {
        yield_now();
    }
}

/// The kernel hands SIGSTOP to one thread of the process, which stops all the others when it gets the processor: on a busy
/// machine whoever asked for it is several steps further by then. proc(5), `ShdPnd`.
fn stop_is_pending() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    pending.is_some_and(|mask| mask >> (Signal::STOP.as_raw() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, WaitOptions, waitpid};
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

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
        arm(std::env::var(VICTIM).unwrap().parse().unwrap());
        reach("elsewhere");
        println!("alive so far");
        // whichever thread is told to stop, this one is not the next that runs
        for _ in 0..8 {
            std::thread::spawn(|| {
                loop {
                    std::hint::black_box(());
                }
            });
        }
        reach("here");
        println!("still alive");
    }

    fn victim_of(point: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "fail_point::tests::victim", "--ignored", "--nocapture"])
            .env(VICTIM, point);
        command
    }

    #[test]
    fn whoever_reaches_a_stop_does_nothing_until_it_is_resumed() {
        let mut victim = victim_of("here:stop").stdout(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&victim);
        let status = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap().1;
        assert!(status.stopped(), "{status:?}");
        kill_process(pid, Signal::KILL).unwrap();
        let mut said = String::new();
        victim.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        victim.wait().unwrap();
        assert!(said.contains("alive so far") && !said.contains("still alive"), "{said}");
    }

    #[test]
    fn the_process_ends_at_the_armed_point_and_nowhere_else() {
        let output = victim_of("here").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("alive so far") && !said.contains("still alive"), "{said}");
        assert_eq!(output.status.signal(), Some(9));
    }
}
