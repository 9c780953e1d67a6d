//! The task that holds the connection to one instance.

use super::state::{State, kind};
use super::{Clock, Seen, Settings, Target, Wake, Watched};
use crate::redis::{CallError, Connection, Login, OpenError};
use crate::shortage;
use redis_operator_core::observed::Reach;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Time from one attempt to connect to the next, if the first ended sooner. A refusal takes half a millisecond.
const RETRY: Duration = Duration::from_millis(100);
/// The first time after a connection broke; doubled from then on. The kernel closes the connections of a process that ends
/// before the socket on which it listens: an attempt in between comes through, is reset, and tells nothing.
const AT_ONCE: Duration = Duration::from_millis(2);

/// One instance under watch.
pub(super) struct Post {
    target: Target,
    login: Login,
    settings: Settings,
    clock: Clock,
    wake: Wake,
    state: watch::Sender<State>,
}

impl Post {
    pub(super) fn new(target: Target, login: Login, settings: Settings, clock: Clock, wake: Wake) -> Self {
        Self {
            target,
            login,
            settings,
            clock,
            wake,
            state: watch::Sender::new(State::new()),
        }
    }

    pub(super) fn is(&self, target: &Target) -> bool {
        self.target.uid == target.uid && self.target.address == target.address
    }

    pub(super) fn connection(&self) -> Option<Arc<Connection>> {
        self.held().filter(|connection| !connection.is_closed())
    }

    /// The open connection, if it is not attached yet.
    pub(super) fn unattached(&self) -> Option<Arc<Connection>> {
        self.connection().filter(|_| !self.state.borrow().is_attached())
    }

    pub(super) fn connection_to(&self, run_id: &str) -> Option<Arc<Connection>> {
        self.state.borrow().connection_to(run_id).cloned()
    }

    /// Attaches this very connection, for the record was read after it was opened. One opened since has to wait.
    pub(super) async fn attach(&self, connection: &Arc<Connection>) {
        match connection.cut_predecessors().await {
            Ok(()) => self.change(|state| {
                state.attached(connection);
                false
            }),
            Err(error) => tracing::warn!(pod = self.target.pod, %error, "could not cut predecessors off"),
        }
    }

    /// Connects, holds, connects again, for ever.
    pub(super) async fn attend(self: Arc<Self>, mut pace: watch::Receiver<Duration>) {
        let address = SocketAddr::new(self.target.address, self.settings.port);
        let mut short = false;
        let mut retry = RETRY;
        loop {
            let begun = Instant::now();
            self.change(|state| {
                state.trying(self.clock.now());
                false
            });
            match Connection::open(address, &self.login, self.settings.call_limit).await {
                Ok(connection) => {
                    short = false;
                    self.hold(Arc::new(connection), &mut pace).await;
                    if begun.elapsed() >= RETRY {
                        retry = AT_ONCE;
                    }
                }
                Err(error) => {
                    if let OpenError::Own(error) = &error {
                        shortage::note();
                        self.warn(error, short);
                    }
                    short = matches!(error, OpenError::Own(_));
                    self.tell(|state| state.not_opened(&error, self.clock.now()));
                }
            }
            let alive = matches!(self.state.borrow().reach(), Reach::Alive(_));
            let pause = if alive { *pace.borrow() } else { retry };
            retry = RETRY.min(retry * 2);
            sleep_until(begun + pause).await;
        }
    }

    async fn hold(&self, connection: Arc<Connection>, pace: &mut watch::Receiver<Duration>) {
        self.change(|state| {
            state.opened(connection.clone(), self.clock.now());
            false
        });
        while self.ask(&connection, true).await {
            let pause = *pace.borrow_and_update();
            tokio::select! {
                _ = connection.closed() => break,
                () = sleep(pause) => {}
                Ok(()) = pace.changed() => {}
            }
        }
        // Whoever gave it up may not have told yet, and only of one that the server closed more is to be known in no time.
        let why = connection.closed().await;
        self.tell(|state| state.failed(&connection, &why, self.clock.now()));
    }

    /// Probes and notes the outcome. False if the connection is of no use any more.
    async fn ask(&self, connection: &Arc<Connection>, wake: bool) -> bool {
        let outcome = connection.probe(self.clock.now()).await;
        let now = self.clock.now();
        let usable = !matches!(
            outcome,
            Err(CallError::Closed | CallError::TimedOut | CallError::Unreadable(_))
        );
        let note = |state: &mut State| match outcome {
            Ok(answer) => state.answered(connection, answer, now),
            Err(error) => state.failed(connection, &error, now),
        };
        if wake {
            self.tell(note)
        } else {
            self.change(note)
        }
        usable
    }

    /// Once for each time that it begins.
    fn warn(&self, error: &str, known: bool) {
        if !known {
            tracing::warn!(
                pod = self.target.pod,
                error,
                "the operator has no socket left to ask this instance, so its silence does not count; raise the limit of \
                 open files of the operator's container or node, or let it watch fewer instances"
            );
        }
    }

    fn held(&self) -> Option<Arc<Connection>> {
        self.state.borrow().connection().cloned()
    }

    /// Changes what is known and wakes the reconcile if that is worth it.
    fn tell(&self, event: impl FnOnce(&mut State) -> bool) {
        let mut news = false;
        self.change(|state| {
            news = event(state);
            news
        });
        if news {
            (self.wake)();
        }
    }

    fn change(&self, event: impl FnOnce(&mut State) -> bool) {
        self.state.send_modify(|state| {
            let before = kind(state.reach());
            event(state);
            let after = kind(state.reach());
            if before != after {
                tracing::info!(pod = self.target.pod, address = %self.target.address, before, after, "reach changed");
            }
        });
    }
}

impl Watched for Post {
    fn uid(&self) -> &str {
        &self.target.uid
    }

    /// A fresh answer, if there is a connection; and if it has just broken, what has become of it.
    async fn look(&self) {
        let deadline = Instant::now() + self.settings.call_limit;
        let held = self.held();
        if let Some(connection) = &held
            && self.ask(connection, false).await
        {
            return;
        }
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| state.is_settled(held.as_ref()));
        // If it takes longer, the pass goes on with what is known.
        let _ = timeout_at(deadline, settled).await;
    }

    fn seen(&self) -> Seen {
        self.state.borrow().seen()
    }
}
