//! What happens at a moment.

use crate::cluster::api::{Change, Request, Response};
use crate::faults::Action;
use crate::message::{Message, Snapshot};
use crate::network::Cid;

/// What happens at a moment.
#[derive(Debug)]
pub enum Event {
    /// A message arrives at an end of a connection.
    Deliver(Cid, u8, Message),
    /// A server's second.
    Cron(usize),
    /// Its dataset is loaded.
    Loaded(usize),
    /// Its script is long by now.
    Busy(usize),
    /// A part of a snapshot was sent.
    Sync(usize, Cid, u64, Box<Snapshot>),
    /// A pause of writes ends by itself.
    Unpause(usize),
    /// A WAIT is over.
    Waited(usize, Cid),
    /// Before it sleeps.
    AskForAcks(usize),
    /// The kubelet looks after a pod.
    Kubelet(u32),
    /// It tells the API server.
    Report(u32),
    /// A liveness probe has failed often enough, if the process still hangs.
    Liveness(usize),
    /// A process that was told to stop stops.
    Stop(usize),
    /// The StatefulSet's controller looks.
    Controller,
    /// The garbage collector has seen that a pod is gone.
    Collect(u32),
    /// A kubelet renews its Lease.
    Renew(u8),
    /// A request arrives at the API server.
    Request(usize, u32, u32, Box<Request>),
    /// One that was held up on its way is served when nobody waits for it any more.
    Late(Box<Request>),
    /// Its response arrives.
    Response(usize, u32, u32, Box<Response>),
    /// No response in time.
    NoResponse(usize, u32, u32),
    /// A change arrives at an operator's cache.
    Cache(usize, u32, Box<Change>),
    /// An operator looks at its lease.
    Lease(usize, u32),
    /// A post of an operator has something to do: opens, or asks.
    Post(usize, u32, u32, u32),
    /// A call to a server is not answered in time.
    NoReply(usize, u32, u32),
    /// An operator's pass wakes from its sleep.
    Wake(usize, u32, u32),
    /// An operator process begins.
    Operator(usize),
    /// A client does something.
    Client(usize, u32),
    /// A client's node learns what is published.
    Route(usize, u64, Option<u8>),
    /// Fault, by its place in the plan; or its end.
    Fault(usize, Box<Action>),
    /// Looks whether all is well.
    Look,
}
