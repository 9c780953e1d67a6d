//! The directives that belong to the operator, and why. Every alias that Redis 7 and Valkey 8 know is listed: a
//! directive that slipped through would be read from the file as well as the one that the operator writes.

/// Directives with one reason.
pub struct Owned {
    /// Completes the sentence "`port` belongs to the operator: …".
    pub reason: &'static str,
    /// Names and aliases, in lower case; servers ignore case.
    pub directives: &'static [&'static str],
}

/// All of them.
pub const OWNED: &[Owned] = &[
    Owned {
        reason: "it decides which instance is master and who follows it",
        directives: &[
            "replicaof",
            "slaveof",
            "replica-priority",
            "slave-priority",
            "replica-announced",
            "replica-announce-ip",
            "replica-announce-port",
            "slave-announce-ip",
            "slave-announce-port",
            "masteruser",
            "masterauth",
            "primaryuser",
            "primaryauth",
            "cluster-enabled",
            "sentinel",
            "dual-channel-replication-enabled",
            "repl-rdb-channel",
        ],
    },
    Owned {
        reason: "it changes it while the servers run, so that a failover loses no write; see spec.policy",
        directives: &[
            "replica-serve-stale-data",
            "slave-serve-stale-data",
            "replica-read-only",
            "slave-read-only",
            "min-replicas-to-write",
            "min-slaves-to-write",
            "min-replicas-max-lag",
            "min-slaves-max-lag",
        ],
    },
    Owned {
        reason: "the time that a failover takes, and what it may lose, depend on it; see spec.downAfter",
        directives: &[
            "repl-backlog-ttl",
            "repl-diskless-load",
            "repl-diskless-sync-delay",
            "repl-ping-replica-period",
            "repl-ping-slave-period",
            "repl-timeout",
            "busy-reply-threshold",
            "lua-time-limit",
            "replica-lazy-flush",
            "slave-lazy-flush",
        ],
    },
    Owned {
        reason: "it keeps the users; the applications' password is set by spec.password",
        directives: &["requirepass", "user", "aclfile"],
    },
    Owned {
        reason: "Services, probes and replicas rely on it",
        directives: &[
            "port",
            "bind",
            "bind-source-addr",
            "unixsocket",
            "unixsocketperm",
            "protected-mode",
            "tls-port",
            "tls-replication",
            "tls-cluster",
        ],
    },
    Owned {
        reason: "files, modules, commands and the process must be those that the operator knows",
        directives: &["dir", "include", "rename-command", "loadmodule", "daemonize"],
    },
];

/// Why a directive belongs to the operator, whatever its case; `None` if it is the user's.
pub(super) fn reason(directive: &str) -> Option<&'static str> {
    let name = directive.to_ascii_lowercase();
    OWNED
        .iter()
        .find(|owned| owned.directives.contains(&name.as_str()))
        .map(|owned| owned.reason)
}
