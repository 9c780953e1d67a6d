//! A network namespace that a test makes for itself, and rules in it.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// Tells the process in the namespace that it is there.
const APART: &str = "FAILOVER_TEST_APART";
/// Where the operator and the applications of a test connect from.
const HERE: &str = "127.0.0.1";

/// True in a network namespace of the test's own. Outside the test has nothing to do: it ran in there.
pub(crate) fn is_apart(test: &str) -> bool {
    if std::env::var_os(APART).is_some() {
        return true;
    }
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: {test} needs root for its network namespace");
        return false;
    }
    let status = Command::new("unshare")
        .args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(APART, "1")
        .status();
    assert!(status.unwrap().success(), "{test} failed in its namespace");
    false
}

/// A rule on this test's loopback, for as long as it is kept.
pub(crate) struct Rule(Vec<String>);

impl Rule {
    /// Whatever is sent from there to there is dropped.
    pub(crate) fn drop(from: impl ToString, to: impl ToString) -> Self {
        Self::new(from, to, &["DROP"])
    }

    /// Whatever the operator sends there is answered with a reset.
    pub(crate) fn reject(to: IpAddr) -> Self {
        Self::new(HERE, to, &["REJECT", "--reject-with", "tcp-reset"])
    }

    /// Nothing passes between the operator and that instance.
    pub(crate) fn between_operator_and(instance: IpAddr) -> [Self; 2] {
        [Self::drop(HERE, instance), Self::drop(instance, HERE)]
    }

    fn new(from: impl ToString, to: impl ToString, verdict: &[&str]) -> Self {
        let (from, to) = (from.to_string(), to.to_string());
        let rule = ["INPUT", "-s", &from, "-d", &to, "-p", "tcp", "-j"];
        let rule: Vec<_> = rule.iter().chain(verdict).map(ToString::to_string).collect();
        iptables("-I", &rule);
        Self(rule)
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        iptables("-D", &self.0);
    }
}

fn iptables(verb: &str, rule: &[String]) {
    let status = Command::new("iptables").args(["-w", verb]).args(rule).status();
    assert!(status.unwrap().success(), "iptables {verb} {rule:?}");
}
