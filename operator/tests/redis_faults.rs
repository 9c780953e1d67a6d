//! What a connection says when its server is gone, hung, busy, loading or no Redis at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod support;

use redis_operator::redis::{CLOSED_PORT, CallError, Connection, OpenError};
use redis_operator_core::observed::Moment;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::stub::{Habit, Stub};
use support::{LIMIT, PORT, Server, ServerOptions, free_address, login, operator, wait};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What a deadline may overrun on a machine that does other things as well.
const SLACK: Duration = Duration::from_millis(400);

async fn open(address: SocketAddr) -> Result<Connection, OpenError> {
    let begun = Instant::now();
    let outcome = Connection::open(address, &operator(), LIMIT).await;
    assert!(
        begun.elapsed() < LIMIT + SLACK,
        "{outcome:?} after {:?}",
        begun.elapsed()
    );
    outcome
}

async fn error_of(address: SocketAddr) -> OpenError {
    open(address).await.err().unwrap()
}

/// The error of a probe, within its limit.
async fn probe_error(connection: &Connection) -> CallError {
    let begun = Instant::now();
    let outcome = connection.probe(Moment(0)).await;
    assert!(
        begun.elapsed() < LIMIT + SLACK,
        "{outcome:?} after {:?}",
        begun.elapsed()
    );
    outcome.err().unwrap()
}

#[tokio::test]
async fn an_address_where_nobody_listens_refuses() {
    let begun = Instant::now();
    assert_eq!(
        error_of(SocketAddr::new(free_address(), PORT)).await,
        OpenError::Refused
    );
    assert!(begun.elapsed() < SLACK);
}

#[tokio::test]
async fn an_address_that_does_not_accept_is_unreachable() {
    let socket = TcpSocket::new_v4().unwrap();
    let address = SocketAddr::new(free_address(), PORT);
    socket.bind(address).unwrap();
    let _listener = socket.listen(1).unwrap();
    let mut queue = Vec::new();
    // Once the queue of a listener is full, Linux answers no further attempt.
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queue.push(stream);
    }
    assert!(matches!(error_of(address).await, OpenError::Unreachable(_)));
}

#[tokio::test]
async fn d01_a_killed_process_is_noticed_by_its_broken_connection() {
    let mut server = Server::fenced();
    let connection = server.connection().await;
    assert!(!connection.is_closed());
    server.kill();
    let begun = Instant::now();
    connection.closed().await;
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    assert_eq!(probe_error(&connection).await, CallError::Closed);
    assert_eq!(error_of(server.address()).await, OpenError::Refused);
}

#[tokio::test]
async fn a_call_under_way_ends_with_the_process() {
    let mut server = Server::fenced();
    let connection = server.connection().await;
    server.stop();
    let (outcome, ()) = tokio::join!(connection.freeze(), async { server.kill() });
    assert_eq!(outcome.err(), Some(CallError::Closed));
}

#[tokio::test]
async fn a_hung_process_accepts_and_does_not_reply() {
    let server = Server::fenced();
    let connection = server.connection().await;
    server.stop();
    assert_eq!(error_of(server.address()).await, OpenError::Hung);
    assert_eq!(probe_error(&connection).await, CallError::TimedOut);
    assert!(connection.is_closed());
    assert_eq!(connection.closed().await, CallError::TimedOut);
    assert_eq!(
        probe_error(&connection).await,
        CallError::TimedOut,
        "given up by that call"
    );
    server.resume();
}

/// The reason for "never read it as not done".
#[tokio::test]
async fn a_call_that_timed_out_still_runs_when_the_process_is_resumed() {
    let server = Server::fenced();
    let connection = server.connection().await;
    server.stop();
    assert_eq!(connection.set_guard(3, 10).await, Err(CallError::TimedOut));
    server.resume();
    let mut admin = server.client();
    wait("the late command", || {
        admin.call(&["CONFIG", "GET", "min-replicas-to-write"]).ends_with('3')
    });
}

#[tokio::test]
async fn d03_a_busy_script_counts_as_alive() {
    let server = Server::open();
    let connection = server.connection().await;
    let mut script = server.client();
    script.send(&["EVAL", "while true do end", "0"]);
    let mut guest = server.guest();
    wait("the script to be in the way", || {
        guest.call(&["PING"]).starts_with("-BUSY")
    });
    for connection in [&connection, &open(server.address()).await.unwrap()] {
        for error in [probe_error(connection).await, connection.freeze().await.err().unwrap()] {
            assert!(
                matches!(&error, CallError::Alive(text) if text.starts_with("BUSY")),
                "{error:?}"
            );
        }
    }
    assert_eq!(guest.call(&["SCRIPT", "KILL"]), "OK");
    script.reply();
    // Nothing of the refused transactions ran, and the connection is as good as before.
    let answer = connection.probe(Moment(0)).await.unwrap();
    assert!(answer.replication.upstream.is_none());
}

#[tokio::test]
async fn a_loading_dataset_counts_as_alive_and_is_told() {
    let mut server = Server::open();
    let mut admin = server.client();
    let fill = "for i = 1, 20000 do redis.call('SET', i, i) end";
    assert_eq!(admin.call(&["EVAL", fill, "0"]), "(nil)");
    assert_eq!(admin.call(&["SAVE"]), "OK");
    server.kill();
    // Some 5 s, looking up 40 times a second.
    let slow = "key-load-delay 200\nloading-process-events-interval-bytes 1024";
    server.relaunch(&ServerOptions {
        lines: slow.to_owned(),
        ..ServerOptions::default()
    });
    server.wait_for_reply();
    let connection = server.connection().await;
    let answer = connection.probe(Moment(0)).await.unwrap();
    assert!(answer.replication.loading);
    assert_eq!(answer.guard, 0);
    let refused = connection.freeze().await.err().unwrap();
    assert!(
        matches!(&refused, CallError::Alive(text) if text.starts_with("LOADING")),
        "{refused:?}"
    );
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn a_wrong_password_counts_as_alive_and_is_not_told() {
    let server = Server::fenced();
    let wrong = login("redis-operator", "not-the-password");
    assert!(!format!("{wrong:?}").contains("not-the-password"));
    match Connection::open(server.address(), &wrong, LIMIT).await {
        Err(OpenError::Alive(text)) => {
            assert!(text.starts_with("WRONGPASS"), "{text}");
            assert!(!text.contains("not-the-password"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn too_many_clients_count_as_alive() {
    let server = Server::start(&ServerOptions {
        lines: "maxclients 1".to_owned(),
        ..ServerOptions::default()
    });
    let mut only = server.guest();
    wait("the only client", || {
        if only.call(&["PING"]).contains("max number") {
            only = server.guest();
            return false;
        }
        true
    });
    match error_of(server.address()).await {
        OpenError::Alive(text) => assert!(text.contains("max number of clients"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn d11_a_proxy_that_accepts_and_closes_has_not_answered() {
    let stub = Stub::start(Habit::Close).await;
    assert!(matches!(error_of(stub.address).await, OpenError::Unreachable(_)));
    let stub = Stub::answering(|_| None).await;
    assert!(matches!(error_of(stub.address).await, OpenError::Unreachable(_)));
}

/// The proxies of a mesh accept whatever the port is, for servers that nobody reaches as well.
#[tokio::test]
async fn d11_a_proxy_that_accepts_for_everybody_does_not_show_that_the_server_hangs() {
    let silent = |_: &[String]| Some(vec![]);
    let stub = Stub::answering(silent).await;
    assert_eq!(error_of(stub.address).await, OpenError::Hung);
    let everywhere = TcpListener::bind((stub.address.ip(), CLOSED_PORT)).await.unwrap();
    let error = error_of(stub.address).await;
    assert!(
        matches!(&error, OpenError::Unreachable(why) if why.contains("mesh")),
        "{error:?}"
    );
    drop(everywhere);
}

#[tokio::test]
async fn d11_something_else_than_redis_is_told_as_such() {
    let http = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
    for text in [
        &http[..],
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x16\x03\x01\x00\xff",
        b"\0\0\0\0\r\n",
    ] {
        let text = text.to_vec();
        let stub = Stub::answering(move |_| Some(text.clone())).await;
        assert!(matches!(error_of(stub.address).await, OpenError::Garbage(_)));
    }
}

#[tokio::test]
async fn half_a_reply_is_no_answer() {
    let stub = Stub::answering(|_| Some(b"$100\r\nhalf".to_vec())).await;
    assert_eq!(error_of(stub.address).await, OpenError::Hung);
    let stub = Stub::start(Habit::Say(b"$100\r\nhalf".to_vec())).await;
    let error = error_of(stub.address).await;
    assert!(matches!(error, OpenError::Garbage(_)), "{error:?}");
}

#[tokio::test]
async fn b05_whatever_stands_in_place_of_results_is_an_error() {
    let probe = |info: &str| format!("*3\r\n${}\r\n{info}\r\n*0\r\n*0\r\n", info.len()).into_bytes();
    let results: Vec<Vec<u8>> = vec![
        b"+OK\r\n".to_vec(),
        b":1\r\n".to_vec(),
        b"$-1\r\n".to_vec(),
        b"*-1\r\n".to_vec(),
        b"*0\r\n".to_vec(),
        b"*3\r\n:1\r\n:2\r\n:3\r\n".to_vec(),
        b"*3\r\n*0\r\n*0\r\n*0\r\n".to_vec(),
        b"*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n".to_vec(),
        b"*9999999999\r\n".to_vec(),
        b"*-7\r\n".to_vec(),
        b"$99999999999999999999\r\n".to_vec(),
        b"$9223372036854775807\r\n".to_vec(),
        b"!!!!\r\n".to_vec(),
        b"$3\r\n\xff\xfe\xfd\r\n".to_vec(),
        probe(""),
        probe("role:master\r\n"),
        probe("role:\u{0}\r\nrole:::::\r\n\r\n:::"),
        b"-\r\n".to_vec(),
    ];
    for result in results {
        let text = String::from_utf8_lossy(&result).into_owned();
        let stub = Stub::executing(result).await;
        let connection = open(stub.address).await.unwrap();
        let error = probe_error(&connection).await;
        assert!(!matches!(error, CallError::Alive(_)), "{text:?}: {error:?}");
        assert!(
            connection.is_closed() || matches!(error, CallError::Denied(_)),
            "{text:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_reply_of_ten_megabytes_or_nested_without_end_does_no_harm() {
    let big = "x".repeat(10 << 20);
    for results in [
        format!("*3\r\n${}\r\n{big}\r\n*0\r\n*0\r\n", big.len()),
        format!("-ERR {big}\r\n"),
        format!("+{big}\r\n"),
        format!("*500000\r\n{}", ":1\r\n".repeat(500_000)),
        "+".to_owned() + &big + &big,
        "*1\r\n".repeat(2_500_000),
    ] {
        let stub = Stub::executing(results.into_bytes()).await;
        let connection = open(stub.address).await.unwrap();
        let error = probe_error(&connection).await;
        assert!(error.to_string().len() < 300, "{}", error.to_string().len());
    }
}
