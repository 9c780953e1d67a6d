//! One TCP connection that speaks RESP, through fred. Nothing else names that crate.
//!
//! What must be known about it: its state does not show a broken connection, dropping its client closes nothing (ending
//! the task of `connect` does), it retries and reconnects unless told not to, it waits for ever unless each of its limits is
//! set, and it trusts the server: hence the relay.

use super::relay::{End, relay};
use super::reply::{Command, Raw, Reply, read, results, shorten};
use super::{CallError, OpenError};
use crate::shortage;
use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::ClientLike;
use fred::types::config::{Config, ConnectionConfig, PerformanceConfig, ServerConfig, TcpConfig};
use fred::types::{ClusterHash, CustomCommand, Value};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, timeout, timeout_at};

/// What fred is given to notice that its socket is closed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A port on which nothing listens in a pod of ours: above those that are handed out to outgoing connections.
///
/// A connection that is accepted proves that its other end lives only if no proxy is between, and those of a service mesh
/// accept for everybody. The host of a process refuses here, and they do not.
pub const CLOSED_PORT: u16 = 65_535;

/// How long a host that can be reached may take to refuse: a round trip.
const REFUSAL: Duration = Duration::from_millis(200);

/// A connection of its own. It is closed when it is dropped, and for good after any failure.
pub(super) struct Wire {
    client: Client,
    life: AbortHandle,
    end: watch::Sender<Option<End>>,
    turn: Mutex<()>,
    limit: Duration,
}

impl Wire {
    pub(super) async fn open(
        address: SocketAddr,
        user: &str,
        password: &str,
        limit: Duration,
    ) -> Result<Self, OpenError> {
        let deadline = Instant::now() + limit;
        let server = reach(address, deadline).await?;
        let listener = own(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await)?;
        let client = client(own(listener.local_addr())?, user, password, limit);
        // Polled once before anything can happen, so that it misses nothing.
        let mut connected = pin!(client.wait_for_connect());
        let early = poll_fn(|cx| Poll::Ready(connected.as_mut().poll(cx))).await;
        let pump = Pump(client.connect());
        let accepted = timeout_at(deadline, listener.accept()).await;
        let (local, _) = own(accepted.map_err(io::Error::from).flatten())?;
        own(local.set_nodelay(true))?;
        let end = watch::Sender::new(None);
        let wire = Self {
            client: client.clone(),
            life: tokio::spawn(live(pump, local, server, end.clone())).abort_handle(),
            end,
            turn: Mutex::new(()),
            limit,
        };
        let outcome = match early {
            Poll::Ready(outcome) => Ok(outcome),
            Poll::Pending => timeout_at(deadline, connected).await,
        };
        match outcome {
            Ok(Ok(())) => Ok(wire),
            Ok(Err(error)) => Err(refusal(&error, wire.end.borrow().as_ref())),
            Err(_) => Err(OpenError::Hung),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.end.borrow().is_some()
    }

    pub(super) async fn closed(&self) -> CallError {
        let _ = self.end.subscribe().wait_for(Option::is_some).await;
        self.why_closed()
    }

    pub(super) fn close(&self, why: &CallError) {
        let end = match why {
            CallError::TimedOut => End::GivenUp,
            CallError::Unreadable(text) => End::Nonsense(text.clone()),
            _ => End::Closed,
        };
        tell(&self.end, end);
        self.life.abort();
    }

    /// Runs the commands between MULTI and EXEC, and gives one reply for each. No error reply is among them.
    pub(super) async fn transact(&self, commands: &[Command]) -> Result<Vec<Reply>, CallError> {
        let outcome = timeout(self.limit, async {
            let _turn = self.turn.lock().await;
            if self.is_closed() {
                return Err(self.why_closed());
            }
            // Whoever abandons a transaction halfway must not leave the next one inside it.
            let unfinished = CloseOnDrop(Some(self));
            let replies = tokio::select! {
                biased;
                replies = self.send(commands) => replies,
                why = self.closed() => Err(why),
            };
            if let Err(why) = &replies {
                self.close(why);
            }
            unfinished.disarm();
            replies
        });
        let replies = match outcome.await {
            Ok(Ok(replies)) => results(commands, replies),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(CallError::TimedOut),
        };
        replies
            .map_err(|error| match error {
                CallError::Closed => self.why_closed(),
                other => other,
            })
            .inspect_err(|error| {
                if matches!(
                    error,
                    CallError::TimedOut | CallError::Closed | CallError::Unreadable(_)
                ) {
                    self.close(error);
                }
            })
    }

    fn why_closed(&self) -> CallError {
        match &*self.end.borrow() {
            Some(End::Nonsense(text)) => CallError::Unreadable(text.clone()),
            Some(End::GivenUp) => CallError::TimedOut,
            _ => CallError::Closed,
        }
    }

    /// Sends everything at once and waits for every reply: MULTI's, one for each command, EXEC's.
    async fn send(&self, commands: &[Command]) -> Result<Vec<Reply>, CallError> {
        let begin = std::iter::once(self.one("MULTI", &[]));
        let body = commands.iter().map(|command| {
            let (name, rest) = command
                .words
                .split_first()
                .map_or(("", &[][..]), |(n, r)| (n.as_str(), r));
            self.one(name, rest)
        });
        let all = begin.chain(body).chain(std::iter::once(self.one("EXEC", &[])));
        in_order(all.collect()).await.into_iter().map(read).collect()
    }

    fn one<'a>(&'a self, name: &str, words: &[String]) -> Pin<Box<dyn Future<Output = Raw> + Send + 'a>> {
        // Raw, or one error among the results of EXEC would hide all the others.
        let command = CustomCommand::new(name, ClusterHash::Random, false);
        let words: Vec<Value> = words.iter().map(|word| Value::from(word.as_str())).collect();
        Box::pin(self.client.custom_raw(command, words))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.life.abort();
    }
}

/// fred's task; ended when it is dropped.
struct Pump(JoinHandle<Result<(), fred::error::Error>>);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lives as long as the connection does: dropping it closes every socket.
async fn live(mut pump: Pump, mut local: TcpStream, mut server: TcpStream, end: watch::Sender<Option<End>>) {
    let why = tokio::select! {
        why = relay(&mut local, &mut server) => why,
        _ = &mut pump.0 => End::Closed,
    };
    // Told before the sockets close, so that whoever sees that can learn why.
    tell(&end, why);
    drop((local, server));
    if !pump.0.is_finished() {
        // fred still has to read, and to tell, what the server said last.
        let _ = timeout(LAST_WORDS, &mut pump.0).await;
    }
}

/// The first reason stays.
fn tell(end: &watch::Sender<Option<End>>, why: End) {
    end.send_if_modified(|end| {
        let first = end.is_none();
        end.get_or_insert(why);
        first
    });
}

struct CloseOnDrop<'a>(Option<&'a Wire>);

impl CloseOnDrop<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(wire) = self.0 {
            wire.close(&CallError::TimedOut);
        }
    }
}

/// Polls each future before the next one is polled first: a command is sent at its first poll.
async fn in_order<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output> {
    let mut slots: Vec<(F, Option<F::Output>)> = futures.into_iter().map(|future| (future, None)).collect();
    poll_fn(|cx| {
        let mut waiting = false;
        for (future, output) in &mut slots {
            if output.is_none() {
                match Pin::new(future).poll(cx) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    slots.into_iter().filter_map(|(_, output)| output).collect()
}

async fn reach(address: SocketAddr, deadline: Instant) -> Result<TcpStream, OpenError> {
    let stream = match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(OpenError::Refused),
        Ok(Err(error)) => return own(Err(error)),
        Err(_) => return Err(OpenError::Unreachable("timed out".to_owned())),
    };
    own(stream.set_nodelay(true))?;
    Ok(stream)
}

/// One that accepts and does not reply: hung if its own host accepts.
pub(super) async fn hung(host: IpAddr) -> OpenError {
    match timeout(REFUSAL, TcpStream::connect((host, CLOSED_PORT))).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => OpenError::Hung,
        Ok(Err(error)) if shortage::is_own(&error) => OpenError::Own(error.to_string()),
        _ => OpenError::Unreachable(
            "it accepts connections and does not reply, and it may be a proxy or a mesh that accepts them".to_owned(),
        ),
    }
}

/// A failure of this side. It says nothing about the server if something is short here; that time was short may well be
/// the server's doing.
fn own<T>(outcome: io::Result<T>) -> Result<T, OpenError> {
    outcome.map_err(|error| match error.to_string() {
        text if shortage::is_own(&error) => OpenError::Own(text),
        text => OpenError::Unreachable(text),
    })
}

fn client(address: SocketAddr, user: &str, password: &str, limit: Duration) -> Client {
    let config = Config {
        username: Some(user.to_owned()),
        password: Some(password.to_owned()),
        server: ServerConfig::new_centralized(address.ip().to_string(), address.port()),
        fail_fast: true,
        ..Config::default()
    };
    let limits = PerformanceConfig {
        default_command_timeout: limit,
        ..PerformanceConfig::default()
    };
    let connection = ConnectionConfig {
        connection_timeout: limit,
        internal_command_timeout: limit,
        max_command_attempts: 1,
        max_redirections: 0,
        disable_cluster_health_check: true,
        // By default LOADING and READONLY would close the connection.
        reconnect_errors: Vec::new(),
        tcp: TcpConfig {
            nodelay: Some(true),
            ..TcpConfig::default()
        },
        ..ConnectionConfig::default()
    };
    Client::new(config, Some(limits), Some(connection), None)
}

/// Why a TCP connection that was accepted did not become a usable one.
fn refusal(error: &fred::error::Error, end: Option<&End>) -> OpenError {
    match (end, error.kind()) {
        // A proxy whose server is not up accepts and closes, and nothing is known of that server. One that hangs does not.
        (Some(End::Unheard), _) => OpenError::Unreachable("it accepts connections and closes them".to_owned()),
        (_, ErrorKind::Timeout) => OpenError::Hung,
        (Some(End::Nonsense(text)), _) => OpenError::Garbage(text.clone()),
        (_, ErrorKind::Protocol | ErrorKind::Parse) => OpenError::Garbage(shorten(error.details())),
        (_, ErrorKind::IO | ErrorKind::Canceled) => OpenError::Garbage("closed within a reply".to_owned()),
        _ => OpenError::Alive(shorten(error.details())),
    }
}
