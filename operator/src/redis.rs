//! What the operator says to one redis-server: a dozen verbs, each one transaction with a deadline.
//!
//! A command whose deadline has passed may still run later, for instance when a stopped process is resumed: never read
//! [`CallError::TimedOut`] as "not done", observe again. A connection that failed once is closed and never used again.

mod answer;
mod error;
mod relay;
mod reply;
mod wire;

pub use error::{CallError, OpenError};
use redis_operator_core::observed::{Answer, Moment};
use redis_operator_core::record::Claim;
use redis_operator_core::replication::{NOWHERE, Replication, Role};
use reply::{Command, Reply};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
pub use wire::CLOSED_PORT;
use wire::Wire;

/// How long a call may take unless told otherwise.
pub const CALL_LIMIT: Duration = Duration::from_millis(500);

/// How long clients may be held back by a switchover that nobody ends: the operator died in the middle.
pub const PAUSE: Duration = Duration::from_secs(3);

const INFO: [&str; 6] = ["INFO", "server", "replication", "persistence", "keyspace", "errorstats"];

/// A user of a server. Its password appears in no log and no error.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// One authenticated TCP connection to one process. Dropping it closes the socket; it never reconnects, so whatever it
/// says is about one and the same process. Calls of several tasks take turns.
///
/// Every call may fail with any [`CallError`] but `NotAsClaimed`, unless it says otherwise.
pub struct Connection {
    wire: Wire,
    user: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("closed", &self.is_closed()).finish()
    }
}

impl Connection {
    /// Connects and authenticates. `limit` bounds this, and each later call.
    ///
    /// # Errors
    /// What was found at the address instead.
    pub async fn open(address: SocketAddr, login: &Login, limit: Duration) -> Result<Self, OpenError> {
        let user = login.user.clone();
        match Wire::open(address, &user, &login.password, limit).await {
            Ok(wire) => Ok(Self { wire, user }),
            Err(OpenError::Hung) => Err(wire::hung(address.ip()).await),
            Err(error) => Err(error),
        }
    }

    /// Resolves as soon as the connection is broken (milliseconds after the process has ended), or was given up, and says
    /// why: what a call over it would fail with.
    pub async fn closed(&self) -> CallError {
        self.wire.closed().await
    }

    /// It is broken, or was given up after a call that timed out.
    pub fn is_closed(&self) -> bool {
        self.wire.is_closed()
    }

    /// Asks for everything that a decision needs, at one moment of the server. Allowed while it loads, and while it is
    /// fenced. `asked` is the moment before the call.
    ///
    /// # Errors
    /// As every call.
    pub async fn probe(&self, asked: Moment) -> Result<Answer, CallError> {
        let commands = [
            words("INFO", &INFO),
            words("CONFIG GET", &answer::CONFIG_GET),
            words("ACL USERS", &["ACL", "USERS"]),
        ];
        self.checked(answer::read(asked, &self.wire.transact(&commands).await?))
    }

    /// Closes every other connection of the operator's own user: what predecessors still say is not heard any more.
    ///
    /// # Errors
    /// As every call.
    pub async fn cut_predecessors(&self) -> Result<(), CallError> {
        self.cut_clients(&self.user).await.map(|_| ())
    }

    /// Creates a member's replication user, or resets it: it may follow, and nothing else.
    ///
    /// # Errors
    /// As every call.
    pub async fn add_user(&self, user: &str, password: &str) -> Result<(), CallError> {
        self.run(&[set_user(user, password)]).await
    }

    /// Deletes a user and closes its connections. An absent one is fine.
    ///
    /// # Errors
    /// As every call.
    pub async fn drop_user(&self, user: &str) -> Result<(), CallError> {
        self.run(&[words("ACL DELUSER", &["ACL", "DELUSER", user])]).await
    }

    /// Makes it a replica of `host`:`port`, where it attaches as `user`.
    ///
    /// # Errors
    /// As every call.
    pub async fn follow(&self, host: &str, port: u16, user: &str, password: &str) -> Result<(), CallError> {
        let credentials = ["CONFIG", "SET", answer::ATTACHES_AS, user, "masterauth", password];
        let commands = [secret("CONFIG SET", &credentials), replica_of(host, &port.to_string())];
        self.run(&commands).await
    }

    /// Makes it a replica of nobody. Its id and its offset survive exactly, and are what is returned.
    ///
    /// # Errors
    /// As every call.
    pub async fn freeze(&self) -> Result<Replication, CallError> {
        let (host, port) = NOWHERE;
        let commands = [replica_of(host, &port.to_string()), words("INFO", &INFO)];
        let replies = self.wire.transact(&commands).await?;
        self.checked(answer::replication(replies.last()))
    }

    /// Holds back the writes of all clients for [`PAUSE`], or until [`resume`](Self::resume). Reads and replication go on.
    ///
    /// # Errors
    /// As every call.
    pub async fn pause(&self) -> Result<(), CallError> {
        let millis = PAUSE.as_millis().to_string();
        self.run(&[words("CLIENT PAUSE", &["CLIENT", "PAUSE", &millis, "WRITE"])])
            .await
    }

    /// Lets clients write again.
    ///
    /// # Errors
    /// As every call.
    pub async fn resume(&self) -> Result<(), CallError> {
        self.run(&[words("CLIENT UNPAUSE", &["CLIENT", "UNPAUSE"])]).await
    }

    /// Makes a master a fenced replica of nobody, and closes the connections of `applications`, a user. In one transaction:
    /// whoever comes back finds that it refuses.
    ///
    /// # Errors
    /// As every call.
    pub async fn demote(&self, applications: &str) -> Result<Replication, CallError> {
        let (host, port) = NOWHERE;
        let commands = [
            replica_of(host, &port.to_string()),
            words("CONFIG SET", &["CONFIG", "SET", answer::SERVES, "no"]),
            words(
                "CLIENT KILL",
                &["CLIENT", "KILL", "USER", applications, "SKIPME", "yes"],
            ),
            words("CLIENT UNPAUSE", &["CLIENT", "UNPAUSE"]),
            words("INFO", &INFO),
        ];
        let replies = self.wire.transact(&commands).await?;
        self.checked(answer::replication(replies.last()))
    }

    /// Makes it the master, unguarded and serving, with `users` to follow it; then checks that what was promoted is what
    /// was claimed. Promoting it again changes nothing.
    ///
    /// # Errors
    /// As every call; `NotAsClaimed` if it is a master now that must not be published.
    pub async fn promote(&self, claim: &Claim, users: &[Login]) -> Result<Replication, CallError> {
        let open = ["CONFIG", "SET", answer::GUARD, "0", answer::SERVES, "yes"];
        let mut commands = vec![replica_of("NO", "ONE"), words("CONFIG SET", &open)];
        commands.extend(users.iter().map(|login| set_user(&login.user, &login.password)));
        commands.push(words("CLIENT UNPAUSE", &["CLIENT", "UNPAUSE"]));
        commands.push(words("INFO", &INFO));
        let replies = self.wire.transact(&commands).await?;
        let replication = self.checked(answer::replication(replies.last()))?;
        match mismatch(claim, &replication) {
            None => Ok(replication),
            Some(what) => Err(CallError::NotAsClaimed(what)),
        }
    }

    /// Sets G, `min-replicas-to-write`, and after how many seconds a silent replica no longer counts.
    ///
    /// # Errors
    /// As every call.
    pub async fn set_guard(&self, guard: u32, lag_seconds: u32) -> Result<(), CallError> {
        let (guard, lag) = (guard.to_string(), lag_seconds.to_string());
        let set = ["CONFIG", "SET", answer::GUARD, &guard, answer::GUARD_LAG, &lag];
        self.run(&[words("CONFIG SET", &set)]).await
    }

    /// Opens or closes the fence: whether a replica without a link to its master answers reads.
    ///
    /// # Errors
    /// As every call.
    pub async fn set_serves(&self, open: bool) -> Result<(), CallError> {
        let value = if open { "yes" } else { "no" };
        self.run(&[words("CONFIG SET", &["CONFIG", "SET", answer::SERVES, value])])
            .await
    }

    /// Sets `replica-priority`.
    ///
    /// # Errors
    /// As every call.
    pub async fn set_priority(&self, priority: u32) -> Result<(), CallError> {
        let value = priority.to_string();
        self.run(&[words("CONFIG SET", &["CONFIG", "SET", "replica-priority", &value])])
            .await
    }

    /// Closes every connection of an application's user, and says how many there were. An absent user has none.
    ///
    /// # Errors
    /// As every call.
    pub async fn cut_clients(&self, user: &str) -> Result<u64, CallError> {
        let kill = words("CLIENT KILL", &["CLIENT", "KILL", "USER", user, "SKIPME", "yes"]);
        match self.wire.transact(&[kill]).await {
            Ok(replies) => match replies.first() {
                Some(Reply::Number(n)) => Ok(u64::try_from(*n).unwrap_or(0)),
                _ => Err(CallError::Unreadable(
                    "CLIENT KILL was not answered with a number".to_owned(),
                )),
            },
            Err(CallError::Denied(text)) if text.contains("No such user") => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Gives the connection up if a reply made no sense.
    fn checked<T>(&self, outcome: Result<T, CallError>) -> Result<T, CallError> {
        outcome.inspect_err(|error| {
            if matches!(error, CallError::Unreadable(_)) {
                self.wire.close(error);
            }
        })
    }

    async fn run(&self, commands: &[Command]) -> Result<(), CallError> {
        self.wire.transact(commands).await.map(|_| ())
    }
}

fn mismatch(claim: &Claim, found: &Replication) -> Option<String> {
    if found.run_id != claim.process.run_id {
        return Some(format!("process {} instead of {}", found.run_id, claim.process.run_id));
    }
    if found.role != Role::Master {
        return Some("it still is a replica".to_owned());
    }
    if found.id2.as_deref() != Some(&claim.id) {
        let id2 = found.id2.as_deref().unwrap_or("none");
        return Some(format!("it continues history {id2} instead of {}", claim.id));
    }
    let forked_at = found.forked_at.unwrap_or(0);
    (forked_at < claim.offset).then(|| format!("it forked at {forked_at}, before the claimed {}", claim.offset))
}

fn set_user(user: &str, password: &str) -> Command {
    let password = format!(">{password}");
    let rules = [
        "ACL",
        "SETUSER",
        user,
        "reset",
        "on",
        &password,
        "+psync",
        "+replconf",
        "+ping",
    ];
    secret("ACL SETUSER", &rules)
}

fn replica_of(host: &str, port: &str) -> Command {
    words("REPLICAOF", &["REPLICAOF", host, port])
}

fn words(name: &'static str, words: &[&str]) -> Command {
    Command {
        name,
        words: words.iter().map(|&word| word.to_owned()).collect(),
        secret: false,
    }
}

fn secret(name: &'static str, of: &[&str]) -> Command {
    Command {
        secret: true,
        ..words(name, of)
    }
}
