//! The checking client against real servers that lose data: a checker that cannot fail is none.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use e2e::health::Lives;
use e2e::history::History;
use e2e::log;
use e2e::reign::two_masters;
use e2e::resp::Connection;
use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// A child that goes with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// That nobody else uses: by process and by count.
fn free_address() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    (Ipv4Addr::new(127, high, low, count), 6379).into()
}

/// A server without persistence.
fn server(address: SocketAddr) -> Running {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let child = Command::new("redis-server")
        .args(["--port", &port, "--bind", &ip, "--save", "", "--daemonize", "no"])
        .current_dir(env::temp_dir())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is needed: apt-get install redis-server");
    await_true(|| Connection::open(address, None).is_ok_and(|mut it| it.call(&["PING"]).is_ok()));
    Running(child)
}

fn writer(address: SocketAddr, name: &str, more: &[&str]) -> (Running, PathBuf) {
    client(env!("CARGO_BIN_EXE_writer"), address, name, more)
}

fn client(program: &str, address: SocketAddr, name: &str, more: &[&str]) -> (Running, PathBuf) {
    // two tests at once begin a client within the same microsecond
    static CLIENTS: AtomicUsize = AtomicUsize::new(0);
    let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
    let file = env::temp_dir().join(format!("checker-{name}-{}-{number}", std::process::id()));
    let child = Command::new(program)
        .args([&address.to_string(), name, "--out"])
        .arg(&file)
        .args(more)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    (Running(child), file)
}

fn acknowledged(file: &Path) -> usize {
    if file.exists() {
        History::read(file).unwrap().acknowledged().count()
    } else {
        0
    }
}

fn await_true(mut asked: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !asked() {
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}");
        sleep(Duration::from_millis(10));
    }
}

/// Ends a client as its owner does; what it saw.
fn ended(mut client: Running, file: &Path) -> History {
    drop(client.0.stdin.take());
    assert!(client.0.wait().unwrap().success());
    let history = History::read(file).unwrap();
    std::fs::remove_file(file).unwrap();
    history
}

fn list(address: SocketAddr, key: &str) -> Vec<String> {
    let mut connection = Connection::open(address, None).unwrap();
    connection.call(&["LRANGE", key, "0", "-1"]).unwrap().texts()
}

#[test]
fn a_server_that_comes_back_empty_is_a_loss() {
    let address = free_address();
    let first = server(address);
    let (writer, file) = writer(address, "list", &[]);
    await_true(|| acknowledged(&file) >= 20);
    let before = acknowledged(&file);
    let killed = log::now();
    drop(first);
    sleep(Duration::from_millis(300));
    let _second = server(address);
    await_true(|| History::read(&file).unwrap().first_after(killed + 300_000).is_some());
    let history = ended(writer, &file);

    let balance = history.balance(&list(address, "list"));
    assert!(
        balance.lost.len() >= before && balance.lost.len() < balance.acknowledged,
        "{balance:?}"
    );
    assert!(history.gap(killed, log::now()).length() >= Duration::from_millis(300));
    assert!(history.troubles().contains_key("refused"), "{:?}", history.troubles());
    assert_eq!(two_masters(&[history]), [], "one after the other");
}

#[test]
fn a_server_that_keeps_everything_loses_nothing() {
    let address = free_address();
    let _server = server(address);
    let (writer, file) = writer(address, "list", &[]);
    await_true(|| acknowledged(&file) >= 20);
    let history = ended(writer, &file);
    let balance = history.balance(&list(address, "list"));
    assert_eq!(
        (balance.lost.len(), balance.doubled.len(), balance.foreign.len()),
        (0, 0, 0)
    );
    assert!(balance.acknowledged >= 20);
}

#[test]
fn two_servers_that_both_take_writes_are_two_masters() {
    let (one, other) = (free_address(), free_address());
    let _servers = (server(one), server(other));
    let (first, second) = (writer(one, "list", &[]), writer(other, "list", &[]));
    await_true(|| acknowledged(&first.1) >= 20 && acknowledged(&second.1) >= 20);
    let histories = [ended(first.0, &first.1), ended(second.0, &second.1)];
    assert!(!two_masters(&histories).is_empty());
}

#[test]
fn a_write_without_enough_replicas_is_not_acknowledged() {
    let address = free_address();
    let _server = server(address);
    let (writer, file) = writer(address, "list", &["--wait", "1"]);
    await_true(|| file.exists() && History::read(&file).unwrap().troubles().contains_key("WAIT 0"));
    assert_eq!(ended(writer, &file).acknowledged().count(), 0);
}

#[test]
fn what_a_killed_writer_had_noted_is_there() {
    let address = free_address();
    let _server = server(address);
    let (mut writer, file) = writer(address, "list", &[]);
    await_true(|| acknowledged(&file) >= 20);
    writer.0.kill().unwrap();
    writer.0.wait().unwrap();
    let history = History::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let present = list(address, "list").len();
    let noted = history.acknowledged().count();
    assert!(noted == present || noted + 1 == present, "{noted} noted of {present}");
}

#[test]
fn a_reader_that_is_cut_says_by_whom() {
    let address = free_address();
    let _server = server(address);
    let mut control = Connection::open(address, None).unwrap();
    let run_id = control.info("server", "run_id").unwrap();
    let (reader, file) = client(env!("CARGO_BIN_EXE_reader"), address, "list", &[]);
    await_true(|| acknowledged(&file) >= 20);
    control.call(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    let killed = log::now();
    await_true(|| History::read(&file).unwrap().first_after(killed).is_some());
    let history = ended(reader, &file);

    let cuts = Lives::default().cuts(&history);
    assert_eq!(cuts.len(), 1, "{cuts:?}");
    assert_eq!((cuts[0].server.as_str(), cuts[0].excuse), (run_id.as_str(), None));
}

#[test]
fn a_reader_that_is_left_alone_keeps_its_connection() {
    let address = free_address();
    let _server = server(address);
    let (reader, file) = client(env!("CARGO_BIN_EXE_reader"), address, "list", &[]);
    await_true(|| acknowledged(&file) >= 50);
    let received = Connection::open(address, None)
        .unwrap()
        .info("stats", "total_connections_received")
        .unwrap();
    let history = ended(reader, &file);
    assert_eq!(Lives::default().cuts(&history), []);
    // the server's start, the reader, and who asks
    assert_eq!(received, "3");
}

#[test]
fn a_read_that_is_refused_is_a_cut() {
    let address = free_address();
    let _server = server(address);
    let (reader, file) = client(env!("CARGO_BIN_EXE_reader"), address, "list", &[]);
    await_true(|| acknowledged(&file) >= 20);
    let mut control = Connection::open(address, None).unwrap();
    control
        .call(&["CONFIG", "SET", "replica-serve-stale-data", "no"])
        .unwrap();
    control.call(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    await_true(|| History::read(&file).unwrap().troubles().contains_key("MASTERDOWN"));
    let cuts = Lives::default().cuts(&ended(reader, &file));
    assert!(
        !cuts.is_empty() && cuts.iter().all(|cut| cut.kind == "MASTERDOWN"),
        "{cuts:?}"
    );
}

#[test]
fn a_stream_keeps_its_rate() {
    let address = free_address();
    let _server = server(address);
    let begun = Instant::now();
    let more = ["--keys", "10", "--rate", "5"];
    let (stream, file) = client(env!("CARGO_BIN_EXE_bulk"), address, "bulk", &more);
    await_true(|| acknowledged(&file) >= 100);
    let history = ended(stream, &file);
    let elapsed = begun.elapsed();
    assert!(history.troubles().is_empty(), "{:?}", history.troubles());

    let mut connection = Connection::open(address, None).unwrap();
    assert_eq!(connection.call(&["DBSIZE"]).unwrap().integer(), Some(10));
    assert_eq!(connection.call(&["STRLEN", "bulk:7"]).unwrap().integer(), Some(100_000));
    let received: f64 = connection
        .info("stats", "total_net_input_bytes")
        .unwrap()
        .parse()
        .unwrap();
    let (least, most) = (1e6, 5e6 * elapsed.as_secs_f64() + 5e5);
    assert!(received > least && received < most, "{received} bytes in {elapsed:?}");
}
