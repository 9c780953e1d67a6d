//! redis.conf: the user's directives first, then the operator's.
//!
//! The file is mounted read-only and never edited at run time. It makes every process start *fenced*: a replica of
//! nothing that refuses reads and writes, until the operator tells it whom to follow or promotes it. What it says must
//! stay the same from one version of the operator to the next, or an upgrade would restart every instance.

mod check;
mod memory;
mod owned;

use std::fmt::Write;
use std::time::Duration;

use crate::api::RedisSpec;
use crate::names;

pub use check::check;
pub use owned::{OWNED, Owned};

/// Where the ConfigMap is mounted.
pub const CONFIG_DIR: &str = "/etc/redis";
/// Name of the file there.
pub const CONFIG_FILE: &str = "redis.conf";
/// Where the Secret is mounted.
pub const AUTH_DIR: &str = "/etc/redis-auth";
/// Name of the file with the users there.
pub const AUTH_FILE: &str = "auth.conf";
/// Where the data is.
pub const DATA_DIR: &str = "/data";

/// The backlog unless the user wants a larger one: 64 MB.
pub(crate) const BACKLOG_BYTES: u64 = 64 << 20;

/// What keeps everybody out of a server until the operator says otherwise: it follows nobody, and serves nothing.
const CLOSED: &[(&str, &str)] = &[("replicaof", "127.0.0.1 1"), ("replica-serve-stale-data", "no")];

/// Further settings that the operator changes while the servers run, with which every process starts.
const FENCE: &[(&str, &str)] = &[
    ("replica-read-only", "yes"),
    ("min-replicas-to-write", "0"),
    ("min-replicas-max-lag", "1"),
];

/// Settings that never change.
const FIXED: &[(&str, &str)] = &[
    ("dir", DATA_DIR),
    ("protected-mode", "no"),
    ("replica-lazy-flush", "yes"),
    ("repl-backlog-ttl", "0"),
    ("repl-diskless-load", "disabled"),
    ("repl-diskless-sync-delay", "0"),
    ("repl-ping-replica-period", "1"),
    ("repl-timeout", "10"),
];

/// How a server is started: fenced, even if somebody has taken the annotation away from which its file is made.
pub fn command() -> Vec<String> {
    let mut words = vec!["redis-server".to_owned(), format!("{CONFIG_DIR}/{CONFIG_FILE}")];
    for (key, value) in CLOSED {
        words.push(format!("--{key}"));
        words.extend(value.split(' ').map(str::to_owned));
    }
    words
}

/// The whole file. Call [`check`] first: what it refuses does not belong in a file.
pub fn render(spec: &RedisSpec) -> String {
    let mut text = String::from(
        "# Written by redis-operator; changes are undone.\n\n# spec.config, and defaults for what it leaves open\n",
    );
    let port = names::PORT_REDIS.to_string();
    for (key, value) in spec
        .config
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .chain(defaults(spec))
    {
        line(&mut text, key, value);
    }
    text.push_str("\n# the operator's\n");
    line(&mut text, "include", &format!("{AUTH_DIR}/{AUTH_FILE}"));
    line(&mut text, "port", &port);
    line(
        &mut text,
        "busy-reply-threshold",
        &busy_reply_threshold(spec.down_after()).to_string(),
    );
    for (key, value) in FIXED {
        line(&mut text, key, value);
    }
    text.push_str("\n# the fence: a replica of nothing, until the operator says otherwise\n");
    for (key, value) in CLOSED.iter().chain(FENCE) {
        line(&mut text, key, value);
    }
    text
}

/// A script must answer BUSY well before its server counts as silent, in milliseconds: min(1 s, downAfter / 2).
fn busy_reply_threshold(down_after: Duration) -> u128 {
    (down_after / 2).min(Duration::from_secs(1)).as_millis()
}

/// Whether the data of a server that is told to stop is there for the next one: it has a volume, and a log in which
/// everything is already. A snapshot at the end is no such thing: it takes as long as the dataset is large, and a kubelet that
/// has waited for the grace period ends the server in the middle of it.
pub fn outlives(spec: &RedisSpec) -> bool {
    spec.storage.is_some() && appends(spec)
}

/// Which files a server writes, when, and which of them it reads when it starts.
const PERSISTENCE: [&str; 6] = [
    "appendonly",
    "appenddirname",
    "appendfilename",
    "dbfilename",
    "save",
    "shutdown-on-sigterm",
];

/// The lines of a redis.conf about files. One server reads what another has written if these are the same: one with
/// `appendonly yes` reads no snapshot, and one without reads no log.
pub fn persistence(conf: &str) -> Vec<&str> {
    let of_files = |line: &&str| line.split(' ').next().is_some_and(|key| PERSISTENCE.contains(&key));
    conf.lines().filter(of_files).collect()
}

/// Every write is appended to a log.
fn appends(spec: &RedisSpec) -> bool {
    given(spec, "appendonly").map_or(spec.storage.is_some(), |value| value.eq_ignore_ascii_case("yes"))
}

/// What the user wrote, without the quotes around it.
fn given<'a>(spec: &'a RedisSpec, key: &str) -> Option<&'a str> {
    let value = spec.config.get(key)?;
    Some(value.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\''))
}

/// Defaults for directives that the user may set and has not.
fn defaults(spec: &RedisSpec) -> Vec<(&'static str, &'static str)> {
    let given = |key: &str| spec.config.contains_key(key);
    let mut defaults = Vec::new();
    if !given("appendonly") {
        // data that has no volume is gone with its pod: writing it to disk would only cost
        let append_only = if spec.storage.is_some() { "yes" } else { "no" };
        defaults.push(("appendonly", append_only));
    }
    // with storage but without the log, the server's own snapshot times are what keeps the data
    if !given("save") && (appends(spec) || spec.storage.is_none()) {
        defaults.push(("save", ""));
    }
    if !given("repl-backlog-size") {
        defaults.push(("repl-backlog-size", "64mb"));
    }
    if !given("tcp-keepalive") {
        defaults.push(("tcp-keepalive", "10"));
    }
    defaults
}

fn line(text: &mut String, key: &str, value: &str) {
    let value = if value.trim().is_empty() { "\"\"" } else { value };
    // writing to a String cannot fail
    let _ = writeln!(text, "{key} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Storage;

    fn directives(spec: &RedisSpec) -> Vec<(String, String)> {
        let text = render(spec);
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|line| line.split_once(' ').unwrap())
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    fn value(spec: &RedisSpec, key: &str) -> Option<String> {
        let all = directives(spec);
        let mut found = all
            .iter()
            .filter(|(name, _)| name == key)
            .map(|(_, value)| value.clone());
        let first = found.next();
        assert_eq!(found.next(), None, "{key} twice");
        first
    }

    #[test]
    fn every_process_starts_fenced() {
        let spec = RedisSpec::new("redis");
        for (key, wanted) in FENCE {
            assert_eq!(value(&spec, key).as_deref(), Some(*wanted));
        }
        assert_eq!(value(&spec, "include").as_deref(), Some("/etc/redis-auth/auth.conf"));
    }

    #[test]
    fn scripts_answer_busy_before_they_look_hung() {
        let mut spec = RedisSpec::new("redis");
        assert_eq!(value(&spec, "busy-reply-threshold").as_deref(), Some("1000"));
        spec.down_after = "500ms".to_owned();
        assert_eq!(value(&spec, "busy-reply-threshold").as_deref(), Some("250"));
        spec.down_after = "1m".to_owned();
        assert_eq!(value(&spec, "busy-reply-threshold").as_deref(), Some("1000"));
    }

    #[test]
    fn persistence_follows_the_storage_and_the_user() {
        let persistence = |spec: &RedisSpec| (value(spec, "appendonly").unwrap(), value(spec, "save"));
        let mut spec = RedisSpec::new("redis");
        assert_eq!(persistence(&spec), ("no".to_owned(), Some("\"\"".to_owned())));
        spec.storage = Some(Storage::new("1Gi"));
        assert_eq!(persistence(&spec), ("yes".to_owned(), Some("\"\"".to_owned())));
        spec.config.insert("appendonly".to_owned(), "no".to_owned());
        assert_eq!(persistence(&spec), ("no".to_owned(), None));
        spec.config.insert("save".to_owned(), "60 1".to_owned());
        assert_eq!(persistence(&spec), ("no".to_owned(), Some("60 1".to_owned())));
    }

    #[test]
    fn r04_data_outlives_its_pod_only_where_it_is_written_to_a_volume() {
        let with = |storage: bool, config: &[(&str, &str)]| {
            let mut spec = RedisSpec::new("redis");
            spec.storage = storage.then(|| Storage::new("1Gi"));
            spec.config.extend(
                config
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
            );
            outlives(&spec)
        };
        let no_log = ("appendonly", "no");
        assert!(with(true, &[]));
        assert!(with(true, &[("appendonly", "YES")]));
        assert!(with(true, &[("appendonly", "\"yes\""), ("save", "")]));
        // a snapshot takes longer than a kubelet waits, if there is much
        assert!(!with(true, &[no_log]));
        assert!(!with(true, &[no_log, ("save", "60 1")]));
        assert!(!with(true, &[no_log, ("shutdown-on-sigterm", "save now")]));
        assert!(!with(false, &[("appendonly", "yes")]));
        assert!(!with(false, &[("save", "60 1")]));
    }

    #[test]
    fn whatever_the_operator_writes_is_owned_or_a_default() {
        let spec = RedisSpec::new("redis");
        let defaults: Vec<_> = defaults(&spec).into_iter().map(|(key, _)| key.to_owned()).collect();
        for (key, _) in directives(&spec) {
            assert!(owned::reason(&key).is_some() || defaults.contains(&key), "{key}");
        }
    }
}
