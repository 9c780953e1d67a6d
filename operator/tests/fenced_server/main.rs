//! The files that a pod mounts, read by a real server: the fence, the users, the probes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

#[path = "../support/mod.rs"]
mod support;

mod server;

use redis_operator_core::api::{RedisSpec, Storage};
use server::{APPLICATION, Server};

fn spec(config: &[(&str, &str)]) -> RedisSpec {
    let mut spec = RedisSpec::new("redis");
    spec.down_after = "500ms".to_owned();
    spec.config = config
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    spec
}

#[test]
fn a_process_starts_fenced_and_serves_when_told_to() {
    let server = Server::start(spec(&[]));
    assert!(server.operator(&["info", "replication"]).contains("role:slave"));
    assert!(server.application(&["get", "a"]).starts_with("MASTERDOWN"));
    assert!(server.application(&["set", "a", "1"]).starts_with("READONLY"));
    server.promote();
    assert_eq!(server.application(&["set", "a", "1"]), "OK");
    assert_eq!(server.application(&["get", "a"]), "1");
}

/// As after somebody has taken the annotation away from which the file is made.
#[test]
fn a_process_without_its_redis_conf_is_fenced_too() {
    let mut server = Server::start(spec(&[]));
    server.restart_without_conf();
    let nobody = ["ping"];
    assert!(server.raw(&nobody, &["get", "a"]).starts_with("-MASTERDOWN"));
    assert!(server.raw(&nobody, &["set", "a", "1"]).starts_with("-READONLY"));
}

#[test]
fn nobody_can_remove_the_fence_but_the_operator() {
    let server = Server::start(spec(&[("enable-debug-command", "yes")]));
    for words in [
        &["replicaof", "no", "one"][..],
        &["slaveof", "no", "one"],
        &["failover"],
        &["config", "set", "replica-serve-stale-data", "yes"],
        &["config", "rewrite"],
        &["acl", "setuser", "default", "+@all"],
        &["acl", "load"],
        &["acl", "save"],
        &["replconf", "listening-port", "1"],
        &["debug", "sleep", "0"],
        &["shutdown", "nosave"],
        &["module", "list"],
        &["cluster", "info"],
    ] {
        assert!(
            server.application(words).starts_with("NOPERM"),
            "{words:?}: {}",
            server.application(words)
        );
    }
    for words in [
        &["client", "id"][..],
        &["config", "get", "maxmemory"],
        &["hello", "3"],
        &["command", "count"],
    ] {
        assert!(!server.application(words).starts_with("NOPERM"), "{words:?}");
    }
    // redis-cli itself would play the replica
    let as_application = ["auth", APPLICATION];
    assert!(
        server
            .raw(&as_application, &["psync", "?", "-1"])
            .starts_with("-NOPERM")
    );
    assert!(server.raw(&as_application, &["sync"]).starts_with("-NOPERM"));
    assert_eq!(
        server.ask("default", "wrong", &["ping"]),
        "NOAUTH Authentication required."
    );
}

#[test]
fn each_user_can_do_its_work_and_nothing_else() {
    let server = Server::start(spec(&[]));
    server.promote();
    assert_eq!(server.application(&["set", "a", "1"]), "OK");
    for (user, password, may, may_not) in [
        (
            "redis-operator",
            &server.passwords.operator,
            &["acl users", "client list", "config get maxmemory"][..],
            &["get a", "set a 2"][..],
        ),
        (
            "probe",
            &server.passwords.probe,
            &["ping", "info", "role"],
            &["get a", "config get maxmemory", "acl users"],
        ),
        (
            "exporter",
            &server.passwords.exporter,
            &[
                "info all",
                "config get *",
                "slowlog get 1",
                "slowlog len",
                "latency latest",
                "client setname x",
            ],
            &["get a", "keys *", "config set maxmemory 1", "acl list"],
        ),
    ] {
        let ask = |text: &&str| server.ask(user, password, &text.split(' ').collect::<Vec<_>>());
        may.iter()
            .for_each(|text| assert!(!ask(text).starts_with("NOPERM"), "{user}: {text}"));
        may_not
            .iter()
            .for_each(|text| assert!(ask(text).starts_with("NOPERM"), "{user}: {text}"));
    }
}

#[test]
fn everything_that_the_file_says_is_in_force() {
    let mut with_storage = spec(&[
        ("maxmemory", "100mb"),
        ("client-output-buffer-limit", "replica 256mb 64mb 60"),
    ]);
    with_storage.storage = Some(Storage::new("1Gi"));
    let server = Server::start(with_storage);
    for (key, value) in [
        ("maxmemory", "104857600"),
        ("appendonly", "yes"),
        ("save", ""),
        ("min-replicas-max-lag", "1"),
        ("busy-reply-threshold", "250"),
        ("repl-backlog-size", "67108864"),
        ("repl-backlog-ttl", "0"),
        ("repl-timeout", "10"),
        ("repl-diskless-load", "disabled"),
        ("replica-lazy-flush", "yes"),
        ("protected-mode", "no"),
        ("tcp-keepalive", "10"),
    ] {
        let reply = server.operator(&["config", "get", key]);
        assert_eq!(reply.split_once('\n').unwrap_or((key, "")), (key, value));
    }
}

#[test]
fn probes_follow_a_process_from_its_start_to_its_end() {
    let mut server = Server::start(spec(&[]));
    assert!(
        server.probe("startup.sh") && server.probe("liveness.sh"),
        "fenced is alive"
    );
    assert!(!server.probe("readiness.sh"), "fenced is not ready");
    server.promote();
    assert!(server.probe("readiness.sh"), "a master is ready");
    server.signal("-STOP");
    assert!(
        !server.probe("liveness.sh") && !server.probe("startup.sh"),
        "a hung process is dead"
    );
    server.signal("-CONT");
    assert!(server.probe("liveness.sh"), "a resumed one lives");
    server.end();
    assert!(!server.probe("liveness.sh") && !server.probe("startup.sh") && !server.probe("readiness.sh"));
}

/// A replica whose link to that master is up.
fn replica_of(master: &Server) -> Server {
    let rules = redis_operator_core::credentials::replication_acl("uid", "password");
    let words: Vec<_> = ["acl", "setuser"]
        .into_iter()
        .chain(rules.iter().map(String::as_str))
        .collect();
    assert_eq!(master.operator(&words), "OK");
    let replica = Server::start(spec(&[]));
    let credentials = ["config", "set", "masteruser", "r-uid", "masterauth", "password"];
    assert_eq!(replica.operator(&credentials), "OK");
    let follow = ["replicaof", &master.ip.to_string(), "6379"];
    assert_eq!(replica.operator(&follow), "OK");
    replica.until("the link is up", |replica| {
        replica.operator(&["info", "replication"]).contains("link_status:up")
    });
    replica
}

#[test]
fn a_replica_is_ready_while_its_link_is_up() {
    let master = Server::start(spec(&[]));
    master.promote();
    let replica = replica_of(&master);
    assert!(replica.probe("readiness.sh"));
    drop(master);
    replica.until("the link is down", |replica| !replica.probe("readiness.sh"));
    assert!(replica.probe("liveness.sh"));
}

#[test]
fn r01_r17_the_end_of_a_master_waits_for_a_successor_if_there_can_be_one() {
    let mut master = Server::start(spec(&[]));
    assert!(master.probe("prestop.sh"), "a replica may go at once");
    master.promote();
    assert!(master.probe("prestop.sh"), "and so may a master without replicas");
    let replica = replica_of(&master);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| master.probe("prestop.sh"));
        // as long as that takes it is looked at several times
        assert!(replica.probe("readiness.sh") && replica.probe("liveness.sh"));
        assert!(!waits.is_finished());
        assert_eq!(master.operator(&["replicaof", "127.0.0.1", "1"]), "OK");
        assert!(waits.join().unwrap());
    });
    master.end();
    assert!(master.probe("prestop.sh"), "nobody is there to wait for");
}

#[test]
fn a_busy_process_is_alive() {
    let server = Server::start(spec(&[]));
    server.promote();
    let application = |words: &[&str]| server.application(words);
    std::thread::scope(|scope| {
        let script = scope.spawn(|| application(&["eval", "while true do end", "0"]));
        server.until("it is busy", |server| server.application(&["ping"]).starts_with("BUSY"));
        let alive = server.probe("liveness.sh");
        assert_eq!(application(&["script", "kill"]), "OK");
        assert!(script.join().unwrap().contains("killed"));
        assert!(alive);
    });
}

#[test]
fn a_loading_process_is_alive_but_not_started() {
    let mut server = Server::start(spec(&[("save", "3600 1"), ("rdbcompression", "no")]));
    server.promote();
    let fill = "for i = 1, 2000 do redis.call('set', i, string.rep('x', 1024)) end";
    assert_eq!(server.application(&["eval", fill, "0"]), "");
    assert_eq!(server.application(&["save"]), "OK");
    // some 20 s in all, and a look at the clients after each
    let slow = [
        ("key-load-delay", "100000"),
        ("loading-process-events-interval-bytes", "1024"),
    ];
    server.restart(spec(&slow));
    server.until("it loads", |server| {
        server.operator(&["info", "persistence"]).contains("loading:1")
    });
    assert!(server.probe("liveness.sh"));
    assert!(!server.probe("startup.sh"));
    assert!(!server.probe("readiness.sh"));
    assert_eq!(server.operator(&["config", "set", "key-load-delay", "0"]), "OK");
    server.until("it has started", |server| server.probe("startup.sh"));
}

/// It answers MISCONF to a ping, and holds everything that it could not write.
#[test]
fn d03_a_process_that_cannot_write_its_disk_is_alive() {
    let server = Server::start(spec(&[("save", "3600 1")]));
    server.promote();
    let name = server.application(&["config", "get", "dbfilename"]);
    let file = server.dir.join("data").join(name.lines().last().unwrap());
    // nothing can be renamed to a directory that is not empty
    std::fs::create_dir_all(file.join("taken")).unwrap();
    server.application(&["bgsave"]);
    server.until("its snapshot has failed", |server| {
        server.application(&["ping"]).starts_with("MISCONF")
    });
    assert!(server.probe("liveness.sh") && server.probe("startup.sh") && server.probe("readiness.sh"));
}

#[test]
fn a_crowded_process_is_alive() {
    let server = Server::start(spec(&[("maxclients", "1")]));
    let _only = server.hold();
    assert!(server.probe("liveness.sh"));
    assert!(!server.probe("readiness.sh"));
}
