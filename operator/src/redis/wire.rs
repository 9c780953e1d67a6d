//! One TCP connection that speaks RESP, through fred. Nothing else names that crate.
//!
//! What must be known about it: it does not notice a broken connection by its own state (the task of `connect` ends, and
//! that is the truth), dropping its client closes nothing (aborting that task does), it retries and reconnects unless told
//! not to, and it waits for ever unless each of its limits is set.

use super::reply::{Command, Raw, Reply, read, results, shorten};
use super::{CallError, OpenError};
use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::ClientLike;
use fred::types::config::{Config, ConnectionConfig, PerformanceConfig, ServerConfig, TcpConfig};
use fred::types::{ClusterHash, CustomCommand, Value};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// A connection of its own. It is closed when it is dropped, and for good after any failure.
pub(super) struct Wire {
    client: Client,
    pump: AbortHandle,
    ended: watch::Sender<bool>,
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
        let begun = Instant::now();
        reach(address, limit).await?;
        let left = limit.saturating_sub(begun.elapsed());
        let client = client(address, user, password, limit);
        // Polled once before anything can happen, so that it misses nothing.
        let mut connected = pin!(client.wait_for_connect());
        let early = poll_fn(|cx| Poll::Ready(connected.as_mut().poll(cx))).await;
        let pump = client.connect();
        let wire = Self {
            client: client.clone(),
            pump: pump.abort_handle(),
            ended: watch::Sender::new(false),
            turn: Mutex::new(()),
            limit,
        };
        let ended = wire.ended.clone();
        tokio::spawn(async move {
            let _ = pump.await;
            ended.send_replace(true);
        });
        let outcome = match early {
            Poll::Ready(outcome) => Ok(outcome),
            Poll::Pending => timeout(left, connected).await,
        };
        match outcome {
            Ok(Ok(())) => Ok(wire),
            Ok(Err(error)) => Err(refusal(&error)),
            Err(_) => Err(OpenError::Hung),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.ended.borrow()
    }

    pub(super) async fn closed(&self) {
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn close(&self) {
        self.ended.send_replace(true);
        self.pump.abort();
    }

    /// Runs the commands between MULTI and EXEC, and gives one reply for each. No error reply is among them.
    pub(super) async fn transact(&self, commands: &[Command]) -> Result<Vec<Reply>, CallError> {
        let outcome = timeout(self.limit, async {
            let _turn = self.turn.lock().await;
            if self.is_closed() {
                return Err(CallError::Closed);
            }
            // Whoever abandons a transaction halfway must not leave the next one inside it.
            let unfinished = CloseOnDrop(Some(self));
            let replies = tokio::select! {
                replies = self.send(commands) => replies?,
                () = self.closed() => return Err(CallError::Closed),
            };
            unfinished.disarm();
            Ok(replies)
        });
        let replies = outcome.await.unwrap_or(Err(CallError::TimedOut)).inspect_err(|error| {
            if matches!(error, CallError::TimedOut | CallError::Closed) {
                self.close();
            }
        })?;
        results(commands, replies).inspect_err(|error| {
            if matches!(error, CallError::Unreadable(_)) {
                self.close();
            }
        })
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
        self.pump.abort();
    }
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
            wire.close();
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

/// Tells apart, on a bare connection, what fred's errors do not: nobody there, and nobody answering.
async fn reach(address: SocketAddr, limit: Duration) -> Result<(), OpenError> {
    match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(OpenError::Refused),
        Ok(Err(error)) => Err(OpenError::Unreachable(error.to_string())),
        Err(_) => Err(OpenError::Unreachable("timed out".to_owned())),
    }
}

fn client(address: SocketAddr, user: &str, password: &str, limit: Duration) -> Client {
    let host = match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    let config = Config {
        username: Some(user.to_owned()),
        password: Some(password.to_owned()),
        server: ServerConfig::new_centralized(host, address.port()),
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
fn refusal(error: &fred::error::Error) -> OpenError {
    let text = shorten(error.details());
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::Canceled => OpenError::Hung,
        ErrorKind::IO if text.contains("ConnectionRefused") => OpenError::Refused,
        // Closed before a reply: a proxy whose server is not up does that.
        ErrorKind::IO => OpenError::Hung,
        // So does a closed connection look while AUTH waits.
        ErrorKind::Protocol if text == "Expected string." => OpenError::Hung,
        ErrorKind::Protocol | ErrorKind::Parse => OpenError::Garbage(text),
        _ => OpenError::Alive(text),
    }
}
