//! One instance's INFO, parsed to a typed value. Total: any bytes give a value or an error, never a panic.
//!
//! Fields that a version lacks are unknown rather than wrong, and fields that it adds are ignored, so Redis 6.2 to 8 and
//! Valkey read alike. Every line is split on its first colon: IPv6 addresses and Valkey's extra `type=` stay whole.

use std::collections::BTreeMap;

/// The address that a fenced or frozen instance follows: nobody (`replicaof 127.0.0.1 1`).
pub const NOWHERE: (&str, u16) = ("127.0.0.1", 1);

/// What an instance says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Master,
    /// It follows somebody, or nobody at all.
    Replica,
}

/// The link of a replica to the one it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Address as it was given to REPLICAOF.
    pub host: String,
    /// Port as it was given to REPLICAOF.
    pub port: u16,
    /// `master_link_status:up`. It does not mean that data flows: compare offsets.
    pub link_up: bool,
    /// Whole seconds since the link went down, if it is down and ever was up.
    pub down_seconds: Option<u64>,
    /// Whole seconds since anything was heard; `None` once the link is down.
    pub heard_seconds: Option<u64>,
    /// A full sync is in progress; what it holds is worthless until it ends.
    pub syncing: bool,
    /// Whole seconds since data of that full sync arrived, if one is in progress.
    pub sync_heard_seconds: Option<u64>,
    /// Bytes received, applied or not.
    pub read_offset: u64,
}

/// One instance's view of itself and of its replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    /// The process: drawn anew at every start.
    pub run_id: String,
    /// `redis_version`, or `valkey_version` where there is one.
    pub version: String,
    /// Start of the process in microseconds of its own wall clock.
    pub started_micros: i64,
    /// A dataset is being loaded; role and keys mean nothing until it ends.
    pub loading: bool,
    /// Append-only file in use: replication ids do not survive a restart then.
    pub appendonly: bool,
    /// The append-only file is being written anew, or about to be. After a full sync the file on disk is the one from before
    /// until that has ended, and a process that is told to stop meanwhile does not (redis 7.0).
    pub rewriting: bool,
    /// Master or replica.
    pub role: Role,
    /// Whom it follows; `None` on a master.
    pub upstream: Option<Upstream>,
    /// The history it is in: `master_replid`.
    pub id: String,
    /// The history before that one, if it was promoted.
    pub id2: Option<String>,
    /// The last offset that is valid under [`id2`](Self::id2): where it was promoted.
    pub forked_at: Option<u64>,
    /// Bytes of this history that it has applied; 0 without one.
    pub offset: u64,
    /// It has a place in a history: it is a master, in sync, or kept the place where its link broke. A replica that
    /// never was in sync, or whose full sync broke after it had emptied itself, has none.
    pub placed: bool,
    /// `replica-priority`; 0 is never promoted.
    pub priority: u32,
    /// Replicas attached and online, on a master.
    pub online: u32,
    /// Keys in all databases.
    pub keys: u64,
    /// Errors told to clients that wrote to, or read from, one that is not the master (READONLY and MASTERDOWN).
    pub misdirected: u64,
}

/// Why a reply is no INFO.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A field without which nothing can be decided.
    #[error("INFO has no field {0}; is this Redis or Valkey?")]
    Missing(&'static str),
    /// A field with a value that it cannot have.
    #[error("INFO says {field}:{value}, which is not a value it can have")]
    Nonsense {
        /// Name of the field.
        field: &'static str,
        /// What it said, shortened.
        value: String,
    },
}

impl Upstream {
    /// It follows nobody: fenced since its start, or frozen.
    pub fn is_nowhere(&self) -> bool {
        (self.host.as_str(), self.port) == NOWHERE
    }
}

impl Replication {
    /// Reads the text of INFO with the sections server, replication, persistence, keyspace and errorstats.
    ///
    /// # Errors
    /// A missing or impossible field, by name.
    pub fn parse(info: &str) -> Result<Self, Unreadable> {
        let fields = Fields::of(info);
        let role = match fields.need("role")? {
            "master" => Role::Master,
            "slave" | "replica" => Role::Replica,
            other => return Err(nonsense("role", other)),
        };
        let master_offset = fields.number("master_repl_offset")?;
        let upstream = match role {
            Role::Master => None,
            Role::Replica => Some(fields.upstream()?),
        };
        // Without a link, and without a place kept, redis 7.0 says slave_repl_offset:1.
        let (offset, placed) = match &upstream {
            None => (master_offset, true),
            Some(upstream) => match fields.number("slave_repl_offset")? {
                1 if !upstream.link_up => (0, false),
                offset => (offset, true),
            },
        };
        let id2 = fields
            .get("master_replid2")
            .filter(|id| id.bytes().any(|b| b != b'0'))
            .map(str::to_owned);
        let forked_at = fields
            .signed("second_repl_offset")
            .filter(|n| *n > 0)
            .and_then(|n| u64::try_from(n - 1).ok());
        Ok(Self {
            run_id: fields.need("run_id")?.to_owned(),
            version: fields
                .get("valkey_version")
                .map_or_else(|| fields.need("redis_version"), Ok)?
                .to_owned(),
            started_micros: fields.started_micros(),
            loading: fields.flag("loading") || fields.flag("async_loading"),
            appendonly: fields.flag("aof_enabled"),
            rewriting: fields.flag("aof_enabled")
                && (fields.flag("aof_rewrite_in_progress") || fields.flag("aof_rewrite_scheduled")),
            role,
            upstream,
            id: fields.need("master_replid")?.to_owned(),
            forked_at: id2.as_ref().and(forked_at),
            id2,
            offset,
            placed,
            priority: fields
                .signed("slave_priority")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(100),
            online: fields.online(),
            keys: fields.keys(),
            misdirected: fields.errors("READONLY").saturating_add(fields.errors("MASTERDOWN")),
        })
    }

    /// It is a replica whose link to its master is up.
    pub fn link_is_up(&self) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| upstream.link_up)
    }

    /// It follows nobody: fenced since its start, or frozen. Never true of a master.
    pub fn is_frozen(&self) -> bool {
        self.upstream.as_ref().is_some_and(Upstream::is_nowhere)
    }
}

struct Fields<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Fields<'a> {
    fn of(info: &'a str) -> Self {
        Self(
            info.lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(key, value)| (key, value.trim()))
                .collect(),
        )
    }

    fn get(&self, field: &str) -> Option<&'a str> {
        self.0.get(field).copied()
    }

    fn need(&self, field: &'static str) -> Result<&'a str, Unreadable> {
        self.get(field)
            .filter(|value| !value.is_empty())
            .ok_or(Unreadable::Missing(field))
    }

    fn number(&self, field: &'static str) -> Result<u64, Unreadable> {
        let value = self.need(field)?;
        value.parse().map_err(|_| nonsense(field, value))
    }

    fn signed(&self, field: &str) -> Option<i64> {
        self.get(field)?.parse().ok()
    }

    fn flag(&self, field: &str) -> bool {
        self.get(field) == Some("1")
    }

    fn upstream(&self) -> Result<Upstream, Unreadable> {
        let link_up = self.get("master_link_status") == Some("up");
        let seconds = |field| self.signed(field).and_then(|n| u64::try_from(n).ok());
        let port = self.number("master_port")?;
        Ok(Upstream {
            host: self.need("master_host")?.to_owned(),
            port: u16::try_from(port).map_err(|_| nonsense("master_port", &port.to_string()))?,
            link_up,
            down_seconds: seconds("master_link_down_since_seconds").filter(|_| !link_up),
            heard_seconds: seconds("master_last_io_seconds_ago").filter(|_| link_up),
            syncing: self.flag("master_sync_in_progress"),
            sync_heard_seconds: seconds("master_sync_last_io_seconds_ago"),
            read_offset: self
                .number("slave_read_repl_offset")
                .or_else(|_| self.number("slave_repl_offset"))?,
        })
    }

    fn started_micros(&self) -> i64 {
        let now = self.signed("server_time_usec").unwrap_or(0);
        let up = self.signed("uptime_in_seconds").unwrap_or(0);
        now.saturating_sub(up.saturating_mul(1_000_000))
    }

    fn online(&self) -> u32 {
        let replicas = self.0.iter().filter(|(key, _)| {
            key.strip_prefix("slave")
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        let online = replicas.filter(|(_, value)| value.split(',').any(|part| part == "state=online"));
        u32::try_from(online.count()).unwrap_or(u32::MAX)
    }

    fn keys(&self) -> u64 {
        let databases = self.0.iter().filter(|(key, _)| {
            key.strip_prefix("db")
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        let counts = databases.filter_map(|(_, value)| value.split(',').find_map(|part| part.strip_prefix("keys=")));
        counts
            .filter_map(|n| n.parse::<u64>().ok())
            .fold(0, u64::saturating_add)
    }

    fn errors(&self, name: &str) -> u64 {
        let line = self.get(&format!("errorstat_{name}"));
        line.and_then(|value| value.strip_prefix("count=")?.parse().ok())
            .unwrap_or(0)
    }
}

fn nonsense(field: &'static str, value: &str) -> Unreadable {
    Unreadable::Nonsense {
        field,
        value: value.chars().take(40).collect(),
    }
}
