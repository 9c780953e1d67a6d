//! The servers, behind the trait that `execute` knows.

use super::side::{Ask, Came, Handle};
use crate::message::Verb;
use crate::world::text;
use redis_operator::execute::{Done, Failure, Servers};
use redis_operator::redis::CallError;
use redis_operator_core::record::{Claim, Process};

/// The servers of an operator.
pub(super) struct Instances<'a>(pub(super) &'a Handle);

impl Instances<'_> {
    /// Over the attached connection to that very process.
    async fn call(&self, process: &Process, verb: Verb) -> Done {
        let pending = {
            let side = self.0.lock();
            let post = side.posts.get(&process.uid);
            let line = post.and_then(|post| Some((post.number, post.state.connection_to(&process.run_id)?.cid)));
            drop(side);
            let (post, cid) = line.ok_or_else(|| Failure::NotConnected(process.pod.clone()))?;
            self.0.ask(|ask| Ask::Call(ask, post, cid, verb))
        };
        let outcome = match pending.await {
            Came::Call(outcome) => *outcome,
            Came::Api(_) | Came::Nothing => Err(CallError::Closed),
        };
        outcome.map(drop).map_err(|source| Failure::Server {
            pod: process.pod.clone(),
            source,
        })
    }
}

fn user(uid: &str) -> u32 {
    text::read_uid(uid).unwrap_or(u32::MAX)
}

impl Servers for Instances<'_> {
    async fn add_user(&self, on: &Process, uid: &str) -> Done {
        self.call(on, Verb::AddUser(user(uid))).await
    }

    async fn drop_user(&self, on: &Process, name: &str) -> Done {
        self.call(on, Verb::DropUser(user(name.trim_start_matches("r-")))).await
    }

    async fn follow(&self, who: &Process, master: &str) -> Done {
        let address = text::read_address(master).unwrap_or_default();
        self.call(who, Verb::Follow(address, user(&who.uid))).await
    }

    async fn freeze(&self, who: &Process) -> Done {
        self.call(who, Verb::Freeze).await
    }

    async fn promote(&self, claim: &Claim, users: &[String]) -> Done {
        let users = users.iter().map(|uid| user(uid)).collect();
        self.call(&claim.process, Verb::Promote(claim.clone(), users)).await
    }

    async fn guard(&self, on: &Process, replicas: u32, lag: u32) -> Done {
        self.call(on, Verb::Guard(replicas, lag)).await
    }

    async fn pause(&self, who: &Process) -> Done {
        self.call(who, Verb::Pause).await
    }

    async fn resume(&self, who: &Process) -> Done {
        self.call(who, Verb::Unpause).await
    }

    async fn demote(&self, who: &Process) -> Done {
        self.call(who, Verb::Demote).await
    }

    async fn serve(&self, who: &Process) -> Done {
        self.call(who, Verb::Serve(true)).await
    }

    async fn priority(&self, on: &Process, priority: u32) -> Done {
        self.call(on, Verb::Priority(priority)).await
    }

    async fn cut_clients(&self, on: &Process) -> Done {
        self.call(on, Verb::CutClients).await
    }
}
