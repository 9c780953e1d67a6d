//! The servers of one resource, behind the trait that `execute` knows.

use crate::execute::{Done, Failure, Servers};
use crate::key::Key;
use crate::redis::{CallError, Connection, Login};
use crate::watch::Watch;
use redis_operator_core::record::{Claim, Process};
use redis_operator_core::{credentials, names};
use std::sync::Arc;

/// The servers of one resource.
pub struct Instances<'a> {
    /// The held connections.
    pub watch: &'a Watch,
    /// What members' passwords are derived from.
    pub key: &'a Key,
    /// Uid of the resource.
    pub redis_uid: &'a str,
}

impl Instances<'_> {
    /// The attached connection to that very process.
    fn to(&self, process: &Process) -> Result<Arc<Connection>, Failure> {
        let connection = self.watch.connection_to(&process.uid, &process.run_id);
        connection.ok_or_else(|| Failure::NotConnected(process.pod.clone()))
    }

    fn password(&self, uid: &str) -> String {
        credentials::replication_password(self.key.bytes(), self.redis_uid, uid)
    }

    fn login(&self, uid: &str) -> Login {
        Login {
            user: names::replication_user(uid),
            password: self.password(uid),
        }
    }
}

fn done<T>(process: &Process, result: Result<T, CallError>) -> Done {
    result.map(drop).map_err(|source| Failure::Server {
        pod: process.pod.clone(),
        source,
    })
}

impl Servers for Instances<'_> {
    async fn add_user(&self, on: &Process, uid: &str) -> Done {
        done(
            on,
            self.to(on)?
                .add_user(&names::replication_user(uid), &self.password(uid))
                .await,
        )
    }

    async fn drop_user(&self, on: &Process, user: &str) -> Done {
        done(on, self.to(on)?.drop_user(user).await)
    }

    async fn follow(&self, who: &Process, master: &str) -> Done {
        let login = self.login(&who.uid);
        let port = u16::try_from(names::PORT_REDIS).unwrap_or_default();
        done(
            who,
            self.to(who)?.follow(master, port, &login.user, &login.password).await,
        )
    }

    async fn freeze(&self, who: &Process) -> Done {
        done(who, self.to(who)?.freeze().await)
    }

    async fn promote(&self, claim: &Claim, users: &[String]) -> Done {
        let users: Vec<_> = users.iter().map(|uid| self.login(uid)).collect();
        done(&claim.process, self.to(&claim.process)?.promote(claim, &users).await)
    }

    async fn guard(&self, on: &Process, replicas: u32, lag: u32) -> Done {
        done(on, self.to(on)?.set_guard(replicas, lag).await)
    }

    async fn pause(&self, who: &Process) -> Done {
        done(who, self.to(who)?.pause().await)
    }

    async fn resume(&self, who: &Process) -> Done {
        done(who, self.to(who)?.resume().await)
    }

    async fn demote(&self, who: &Process) -> Done {
        done(who, self.to(who)?.demote(names::USER_DEFAULT).await)
    }

    async fn serve(&self, who: &Process) -> Done {
        done(who, self.to(who)?.set_serves(true).await)
    }

    async fn priority(&self, on: &Process, priority: u32) -> Done {
        done(on, self.to(on)?.set_priority(priority).await)
    }

    async fn cut_clients(&self, on: &Process) -> Done {
        done(on, self.to(on)?.cut_clients(names::USER_DEFAULT).await)
    }
}
