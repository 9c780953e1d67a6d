//! One held connection per instance: what it says, and a wake-up as soon as that changes.
//!
//! A task per instance opens the connection, holds it and opens it again, so a process that ends is noticed by the broken
//! connection and not by the next question. Everything is in memory; losing it only delays.

mod post;
pub mod state;

use crate::gather::Watching;
use crate::redis::{CALL_LIMIT, Connection, Login};
use futures::future::join_all;
use post::Post;
use redis_operator_core::observed::{Answer, Moment, Reach};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// An instance to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Pod name, for logs.
    pub pod: String,
    /// Pod uid.
    pub uid: String,
    /// Address of the pod.
    pub address: IpAddr,
}

/// What is known of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it can be reached.
    pub reach: Reach,
    /// Its last answer from this address, however long ago.
    pub last: Option<Answer>,
    /// Its connection is open and was attached.
    pub attached: bool,
}

/// One instance under watch, as a pass sees it.
pub trait Watched: Sync {
    /// Uid of its pod.
    fn uid(&self) -> &str;
    /// Asks it, or waits for what has become of it.
    fn look(&self) -> impl Future<Output = ()> + Send;
    /// What is known of it.
    fn seen(&self) -> Seen;
}

/// Asks all, `first` before the others.
pub async fn look<W: Watched>(all: &[impl AsRef<W> + Sync], first: Option<&str>) -> BTreeMap<String, Seen> {
    let (head, rest): (Vec<_>, Vec<_>) = all
        .iter()
        .map(AsRef::as_ref)
        .partition(|watched| Some(watched.uid()) == first);
    join_all(head.iter().map(|watched| watched.look())).await;
    join_all(rest.iter().map(|watched| watched.look())).await;
    let seen = |watched: &W| (watched.uid().to_owned(), watched.seen());
    all.iter().map(AsRef::as_ref).map(seen).collect()
}

/// A connection that was open at one moment, and not attached.
pub struct Unattached {
    post: Arc<Post>,
    connection: Arc<Connection>,
}

/// The operator's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since it began.
    pub fn now(&self) -> Moment {
        Moment(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// How instances are watched.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Time between two questions to an instance, at first.
    pub probe_every: Duration,
    /// How long opening a connection may take, and each call.
    pub call_limit: Duration,
    /// Port of every instance.
    pub port: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            probe_every: Duration::from_millis(500),
            call_limit: CALL_LIMIT,
            port: 6379,
        }
    }
}

/// Called when something may have changed. It must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The watch over the instances of one resource. Dropping it ends every task and closes every connection.
pub struct Watch {
    login: Login,
    settings: Settings,
    clock: Clock,
    wake: Wake,
    posts: Mutex<BTreeMap<String, Held>>,
    pace: watch::Sender<Duration>,
}

/// A post whose task ends with it.
struct Held {
    post: Arc<Post>,
    task: AbortHandle,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Watches nobody yet.
    pub fn new(login: Login, settings: Settings, clock: Clock, wake: Wake) -> Self {
        Self {
            login,
            settings,
            clock,
            wake,
            posts: Mutex::default(),
            pace: watch::Sender::new(settings.probe_every),
        }
    }

    /// From now on so much time is between two questions to an instance.
    pub fn set_pace(&self, probe_every: Duration) {
        self.pace
            .send_if_modified(|pace| std::mem::replace(pace, probe_every) != probe_every);
    }

    /// Watches these instances from now on, and no others. One that keeps its uid and its address keeps its connection.
    pub fn set_targets(&self, targets: &[Target]) {
        let mut posts = self.posts();
        let unchanged = |held: &Held| targets.iter().any(|target| held.post.is(target));
        posts.retain(|_, held| unchanged(held));
        for target in targets {
            posts.entry(target.uid.clone()).or_insert_with(|| self.hold(target));
        }
    }

    /// Asks every instance that has an open connection, all at once, and waits at most twice the limit of a call.
    ///
    /// `first`, the master, is asked before the others, so that an offset that a replica shows was reached after the
    /// master's. An instance whose connection has just broken is reported after the attempt to open it again (one that has
    /// ended refuses at once); any other without a connection is reported as it was found last.
    pub async fn observe(&self, first: Option<&str>) -> BTreeMap<String, Seen> {
        look(&self.all(), first).await
    }

    /// The open connection to an instance.
    pub fn connection(&self, uid: &str) -> Option<Arc<Connection>> {
        self.posts().get(uid)?.post.connection()
    }

    /// The attached connection to this very process. A command given to it reaches nobody else.
    pub fn connection_to(&self, uid: &str, run_id: &str) -> Option<Arc<Connection>> {
        self.posts().get(uid)?.post.connection_to(run_id)
    }

    /// Open connections that are not attached yet. Ask before reading the record.
    pub fn unattached(&self) -> Vec<Unattached> {
        let all = self.all();
        let waiting = all.into_iter().filter_map(|post| {
            Some(Unattached {
                connection: post.unattached()?,
                post,
            })
        });
        waiting.collect()
    }

    /// Cuts predecessors off and marks these connections as attached. The caller has read the record, and is its holder,
    /// since [`unattached`](Self::unattached) named them. One that fails stays unattached, for the next pass to try again.
    pub async fn attach(&self, waiting: &[Unattached]) {
        join_all(waiting.iter().map(|it| it.post.attach(&it.connection))).await;
    }

    fn hold(&self, target: &Target) -> Held {
        let post = Arc::new(Post::new(
            target.clone(),
            self.login.clone(),
            self.settings,
            self.clock,
            self.wake.clone(),
        ));
        let task = tokio::spawn(post.clone().attend(self.pace.subscribe())).abort_handle();
        Held { post, task }
    }

    fn all(&self) -> Vec<Arc<Post>> {
        self.posts().values().map(|held| held.post.clone()).collect()
    }

    fn posts(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching for Watch {
    type Unattached = Unattached;

    fn set_targets(&self, targets: &[Target]) {
        Self::set_targets(self, targets);
    }

    async fn observe(&self, first: Option<&str>) -> BTreeMap<String, Seen> {
        Self::observe(self, first).await
    }

    fn unattached(&self) -> Vec<Unattached> {
        Self::unattached(self)
    }

    async fn attach(&self, waiting: &[Unattached]) {
        Self::attach(self, waiting).await;
    }
}
