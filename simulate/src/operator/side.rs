//! What an operator process has in its memory, shared between its pass, which is a future, and the events of the world.

use super::post::Post;
use crate::cluster::api::{Change, Redis, Request, Response};
use crate::message::{Outcome, Verb};
use crate::network::Cid;
use crate::world::Time;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use redis_operator::watch::state::Line as IsLine;
use redis_operator_core::observed::{Moment, Observed};
use redis_operator_core::plan::{Plan, Step};
use redis_operator_core::record::{Found, Phase};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) cid: Cid,
    closed: AtomicBool,
}

impl Line {
    pub(super) fn new(cid: Cid) -> Self {
        Self {
            cid,
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn shut(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

impl IsLine for Line {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// What the caches show.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) redis: Option<Redis>,
    pub(super) pods: BTreeMap<String, Arc<Pod>>,
    pub(super) slice: Option<Arc<EndpointSlice>>,
    pub(super) set: Option<Arc<StatefulSet>>,
    pub(super) nodes: BTreeMap<String, Arc<Node>>,
}

impl Cache {
    /// A watch tells a change.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Redis(redis) => self.redis = Some(*redis),
            Change::Pod(name, Some(pod)) => {
                self.pods.insert(name, pod);
            }
            Change::Pod(name, None) => {
                self.pods.remove(&name);
            }
            Change::Slice(slice) => self.slice = slice,
            Change::Set(set) => self.set = set,
            Change::Node(node) => {
                self.nodes.insert(node.metadata.name.clone().unwrap_or_default(), node);
            }
        }
    }
}

/// What the pass decided, for the log and the coverage.
#[derive(Debug)]
pub struct Planned {
    /// Why.
    pub why: &'static str,
    /// The phase of the record that it saw.
    pub phase: &'static str,
    /// In words, if somebody reads them: the steps, or what is waited for.
    pub text: String,
    /// It does something.
    pub acts: bool,
}

impl Planned {
    pub(super) fn new(seen: &Observed, plan: &Plan, verbose: bool) -> Self {
        let phase = match &seen.record {
            Found::Record(record) => match record.phase {
                Phase::Steady => "Steady",
                Phase::Electing => "Electing",
                Phase::Promoting => "Promoting",
                Phase::Switching => "Switching",
            },
            Found::Absent => "no record",
            Found::Newer(_) | Found::Nonsense(_) => "unreadable",
        };
        let acts = !plan.steps.is_empty();
        let text = match (verbose, acts) {
            (false, _) => String::new(),
            (true, true) => {
                let steps: Vec<_> = plan.steps.iter().map(Step::name).collect();
                format!("{}: {}", plan.why, steps.join(" "))
            }
            (true, false) => {
                let notes: Vec<_> = plan.notes.iter().map(|note| note.message.as_str()).collect();
                format!("{} {}", plan.why, notes.join("; ")).trim().to_owned()
            }
        };
        Self {
            why: plan.why,
            phase,
            text,
            acts,
        }
    }
}

/// What a pass asks of the world.
pub(super) enum Ask {
    /// A request to the API server.
    Api(u32, Request),
    /// A call over a connection of a post.
    Call(u32, u32, Cid, Verb),
    /// A fresh answer of a post, or what has become of it.
    Look(u32, u32),
    /// A new post begins.
    Open(u32),
    /// Its sleep ends at this moment, unless it is woken.
    Sleep(u32, Time),
    /// It decided.
    Planned(Planned),
    /// It says something.
    Say(String),
    /// A connection of a post that ended is closed.
    Close(Cid),
}

/// What came of it.
pub(super) enum Came {
    Api(Box<Response>),
    Call(Box<Outcome>),
    Nothing,
}

/// An operator's memory.
#[derive(Default)]
pub(super) struct Side {
    pub(super) now: Time,
    pub(super) verbose: bool,
    /// Reads with a quorum do so: a rule that can be taken out.
    pub(super) reads_again: bool,
    /// A write of the slice without an answer leaves it in doubt.
    pub(super) doubts: bool,
    pub(super) holder: String,
    pub(super) cache: Cache,
    pub(super) posts: BTreeMap<String, Post>,
    pub(super) asks: Vec<Ask>,
    pub(super) came: BTreeMap<u32, Came>,
    pub(super) next: u32,
    pub(super) urgent: bool,
    pub(super) sleeping: Option<u32>,
    pub(super) waits: Vec<u32>,
}

impl Side {
    pub(super) fn moment(&self) -> Moment {
        Moment(self.now)
    }

    pub(super) fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Still waits for a response, and will not any more.
    pub(super) fn waits_for(&mut self, id: u32) -> bool {
        let at = self.waits.iter().position(|other| *other == id);
        at.map(|at| self.waits.swap_remove(at)).is_some()
    }

    /// Something may have changed.
    pub(super) fn wake(&mut self) {
        self.urgent = true;
        if let Some(sleep) = self.sleeping.take() {
            self.came.insert(sleep, Came::Nothing);
        }
    }
}

/// A shared memory.
#[derive(Clone, Default)]
pub(super) struct Handle(Arc<Mutex<Side>>);

impl Handle {
    pub(super) fn lock(&self) -> MutexGuard<'_, Side> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and waits for what comes of it.
    pub(super) fn ask(&self, ask: impl FnOnce(u32) -> Ask) -> Pending {
        let mut side = self.lock();
        let number = side.number();
        side.asks.push(ask(number));
        Pending {
            handle: self.clone(),
            number,
        }
    }

    pub(super) async fn api(&self, request: Request) -> Response {
        match self.ask(|number| Ask::Api(number, request)).await {
            Came::Api(response) => *response,
            Came::Call(_) | Came::Nothing => Response::Unreachable,
        }
    }
}

/// Something that was asked.
pub(super) struct Pending {
    handle: Handle,
    number: u32,
}

impl Future for Pending {
    type Output = Came;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Came> {
        match self.handle.lock().came.remove(&self.number) {
            Some(came) => Poll::Ready(came),
            None => Poll::Pending,
        }
    }
}
