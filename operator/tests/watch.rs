//! The watch over real redis-server processes: what it reports, in which order, and when it wakes the reconcile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod support;

use redis_operator::redis::{CallError, Login};
use redis_operator::watch::{Clock, Seen, Settings, Target, Watch};
use redis_operator_core::observed::Reach;
use redis_operator_core::replication::Role;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::stub::Stub;
use support::{LIMIT, PORT, Server, ServerOptions, free_address, login, operator, wait_for};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// What a deadline may overrun on a machine that does other things as well.
const SLACK: Duration = Duration::from_millis(400);

/// A watch that counts its wake-ups.
struct Watched {
    watch: Watch,
    clock: Clock,
    wakes: Arc<AtomicU64>,
}

impl Watched {
    fn new(probe_every: Duration) -> Self {
        Self::as_user(operator(), probe_every)
    }

    fn as_user(login: Login, probe_every: Duration) -> Self {
        let wakes = Arc::new(AtomicU64::new(0));
        let clock = Clock::new();
        let settings = Settings {
            probe_every,
            call_limit: LIMIT,
            port: PORT,
        };
        let count = wakes.clone();
        let wake = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let watch = Watch::new(login, settings, clock, wake);
        Self { watch, clock, wakes }
    }

    fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::SeqCst)
    }

    async fn woken_since(&self, before: u64) {
        wait_for("a wake-up", async || (self.wakes() > before).then_some(())).await;
    }

    async fn seen(&self, uid: &str) -> Seen {
        self.watch.observe(None).await.remove(uid).unwrap()
    }

    /// Waits until an instance is reported so.
    async fn until(&self, uid: &str, what: &str, so: impl Fn(&Reach) -> bool) -> Seen {
        wait_for(what, async || Some(self.seen(uid).await).filter(|seen| so(&seen.reach))).await
    }

    async fn answering(&self, uid: &str) -> Seen {
        self.until(uid, "an answer", |reach| matches!(reach, Reach::Answers(_)))
            .await
    }
}

/// A watch over these, named `u0`, `u1`, …, that all answer.
async fn watching(servers: &[&Server], probe_every: Duration) -> Watched {
    let watched = Watched::new(probe_every);
    let targets = servers.iter().enumerate();
    let targets: Vec<_> = targets.map(|(i, server)| target(i, server.ip)).collect();
    watched.watch.set_targets(&targets);
    for target in &targets {
        watched.answering(&target.uid).await;
    }
    watched
}

fn target(i: usize, address: IpAddr) -> Target {
    Target {
        pod: format!("redis-example-{i}"),
        uid: format!("u{i}"),
        address,
    }
}

fn is_hung(reach: &Reach) -> bool {
    matches!(reach, Reach::Silent { accepts: true, .. })
}

/// How often a server was asked for its users, which the operator alone does.
fn questions(server: &Server) -> u64 {
    let stats = server.client().call(&["INFO", "commandstats"]);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_acl|users:calls="));
    line.and_then(|rest| rest.split(',').next()?.parse().ok())
        .unwrap_or_default()
}

/// Sockets that others than the asker have open on a server.
fn others(client: &mut support::Client) -> usize {
    client.call(&["CLIENT", "LIST"]).lines().count() - 1
}

/// Rarely enough that what happens between two probes is due to the connections alone.
const RARELY: Duration = Duration::from_secs(60);
const OFTEN: Duration = Duration::from_millis(20);

#[tokio::test]
async fn instances_answer_and_are_attached_only_when_told() {
    let (one, two) = (Server::fenced(), Server::fenced());
    let watched = watching(&[&one, &two], RARELY).await;
    let mut seen = watched.watch.observe(Some("u1")).await;
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["u0", "u1"]);
    let Seen { reach, last, attached } = seen.remove("u0").unwrap();
    let Reach::Answers(answer) = reach else {
        panic!("{reach:?}")
    };
    assert_eq!(Some(&*answer), last.as_ref());
    assert!(!attached);
    assert!(watched.watch.connection_to("u0", &answer.replication.run_id).is_none());

    let waiting = watched.watch.unattached();
    assert_eq!(waiting.len(), 2);
    watched.watch.attach(&waiting).await;
    assert!(watched.watch.unattached().is_empty());
    assert!(watched.seen("u0").await.attached);
    assert!(watched.watch.connection_to("u0", &answer.replication.run_id).is_some());
    assert!(watched.watch.connection_to("u0", "another process").is_none());
}

#[tokio::test]
async fn attaching_cuts_predecessors_off() {
    let server = Server::fenced();
    let predecessor = server.connection().await;
    let watched = watching(&[&server], RARELY).await;
    assert!(!predecessor.is_closed());
    watched.watch.attach(&watched.watch.unattached()).await;
    predecessor.closed().await;
    assert_eq!(predecessor.freeze().await.err(), Some(CallError::Closed));
    assert!(watched.seen("u0").await.attached);
}

#[tokio::test]
async fn d01_a_killed_process_wakes_at_once_and_is_refused_in_that_very_pass() {
    let (mut server, other) = (Server::fenced(), Server::fenced());
    let watched = watching(&[&server, &other], RARELY).await;
    let before = watched.wakes();
    server.kill();
    let begun = Instant::now();
    watched.woken_since(before).await;
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    let seen = watched.watch.observe(Some("u0")).await;
    assert!(matches!(seen["u0"].reach, Reach::Refused { .. }), "{:?}", seen["u0"]);
    assert!(matches!(seen["u1"].reach, Reach::Answers(_)));
    assert!(seen["u0"].last.is_some() && !seen["u0"].attached);
    assert!(watched.watch.connection("u0").is_none());
}

/// What is between a server and the watch ends as a process does: connections first, then the socket that listens.
async fn ends_slowly(server: &Server) -> Duration {
    let listener = TcpListener::bind((free_address(), PORT)).await.unwrap();
    let watched = Watched::new(RARELY);
    watched
        .watch
        .set_targets(&[target(0, listener.local_addr().unwrap().ip())]);
    let mut behind = TcpStream::connect((server.ip, PORT)).await.unwrap();
    let (mut held, _) = listener.accept().await.unwrap();
    let answers = watched.answering("u0");
    tokio::select! {
        _ = copy_bidirectional(&mut held, &mut behind) => panic!("it was closed"),
        _ = answers => {}
    }
    tokio::time::sleep(Duration::from_millis(150)).await; // a connection that has been of use
    drop(held);
    let ended = Instant::now();
    drop(listener.accept().await.unwrap());
    drop(listener);
    let refused = |reach: &Reach| matches!(reach, Reach::Refused { .. });
    watched.until("u0", "a refusal", refused).await;
    ended.elapsed()
}

#[tokio::test]
async fn d01_an_attempt_that_is_reset_while_the_process_ends_is_repeated_at_once() {
    let server = Server::fenced();
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        fastest = fastest.min(ends_slowly(&server).await);
    }
    assert!(fastest < Duration::from_millis(60), "{fastest:?}");
}

#[tokio::test]
async fn a_pass_that_finds_the_connection_broken_learns_why() {
    for _ in 0..5 {
        let mut server = Server::fenced();
        let watched = watching(&[&server], RARELY).await;
        server.kill();
        // No wake-up awaited: the pass may be the first to notice.
        let seen = watched.seen("u0").await;
        assert!(matches!(seen.reach, Reach::Refused { .. }), "{seen:?}");
    }
}

#[tokio::test]
async fn the_first_is_answered_before_the_others_are_asked() {
    let (master, replica) = (Server::fenced(), Server::fenced());
    let watched = watching(&[&replica, &master], RARELY).await;
    let slow = Duration::from_millis(150);
    master.stop();
    let resume = async {
        tokio::time::sleep(slow).await;
        master.resume();
    };
    let (seen, ()) = tokio::join!(watched.watch.observe(Some("u1")), resume);
    let asked = |uid: &str| match &seen[uid].reach {
        Reach::Answers(answer) => answer.asked,
        other => panic!("{other:?}"),
    };
    let between = asked("u0").since(asked("u1"));
    assert!(between >= slow - Duration::from_millis(10), "{between:?}");
}

#[tokio::test]
async fn a_hung_first_delays_the_others_by_one_limit_and_once() {
    let (hung, other) = (Server::fenced(), Server::fenced());
    let watched = watching(&[&hung, &other], RARELY).await;
    let heard = watched.seen("u0").await.last.unwrap().asked;
    hung.stop();
    let begun = Instant::now();
    let seen = watched.watch.observe(Some("u0")).await;
    assert!(begun.elapsed() < LIMIT + SLACK, "{:?}", begun.elapsed());
    assert!(matches!(seen["u1"].reach, Reach::Answers(_)));
    assert!(matches!(seen["u0"].reach, Reach::Silent { .. }), "{:?}", seen["u0"]);

    let seen = watched.until("u0", "it to be called hung", is_hung).await;
    let Reach::Silent { since, .. } = seen.reach else {
        panic!()
    };
    assert!(since >= heard && since < watched.clock.now());
    let begun = Instant::now();
    watched.watch.observe(Some("u0")).await;
    assert!(
        begun.elapsed() < SLACK,
        "nobody waits for one without a connection: {:?}",
        begun.elapsed()
    );

    let before = watched.wakes();
    hung.resume();
    watched.woken_since(before).await;
    watched.answering("u0").await;
}

/// The connection was not lost, it was given up: no attempt to open another one is going to tell more in no time.
#[tokio::test]
async fn o03_nobody_waits_for_one_that_let_a_call_time_out() {
    let server = Server::fenced();
    let watched = watching(&[&server], RARELY).await;
    let before = watched.wakes();
    server.stop();
    let given_up = watched.watch.connection("u0").unwrap().freeze().await;
    assert_eq!(given_up, Err(CallError::TimedOut));
    watched.woken_since(before).await;
    let begun = Instant::now();
    let seen = watched.seen("u0").await;
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    assert!(matches!(seen.reach, Reach::Silent { .. }), "{seen:?}");
    server.resume();
}

#[tokio::test]
async fn a_hung_instance_is_noticed_by_its_task() {
    let server = Server::fenced();
    let watched = watching(&[&server], OFTEN).await;
    let before = watched.wakes();
    let begun = Instant::now();
    server.stop();
    watched.woken_since(before).await;
    assert!(begun.elapsed() < LIMIT + OFTEN + SLACK, "{:?}", begun.elapsed());
    watched.until("u0", "it to be called hung", is_hung).await;
    server.resume();
}

/// `downAfter` is lowered: the old pause, a minute here, is not waited out first.
#[tokio::test]
async fn questions_follow_a_new_pace_at_once() {
    let server = Server::fenced();
    let watched = watching(&[&server], RARELY).await;
    let before = questions(&server);
    watched.watch.set_pace(OFTEN);
    wait_for("further questions", async || {
        (questions(&server) > before + 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_process_at_the_address_is_told_and_has_to_be_attached_anew() {
    let mut server = Server::fenced();
    let watched = watching(&[&server], RARELY).await;
    watched.watch.attach(&watched.watch.unattached()).await;
    let old = watched.seen("u0").await.last.unwrap().replication.run_id;
    server.kill();
    watched
        .until("u0", "a refusal", |reach| matches!(reach, Reach::Refused { .. }))
        .await;
    let before = watched.wakes();
    server.restart(&ServerOptions::default());
    watched.woken_since(before).await;
    let seen = watched.answering("u0").await;
    assert_ne!(seen.last.unwrap().replication.run_id, old);
    assert!(!seen.attached);
    assert!(watched.watch.connection_to("u0", &old).is_none());
}

#[tokio::test]
async fn a_connection_opened_after_the_record_was_read_is_not_attached_with_the_others() {
    let server = Server::fenced();
    let watched = watching(&[&server], RARELY).await;
    let waiting = watched.watch.unattached();
    let mut admin = server.client();
    admin.call(&["CLIENT", "KILL", "USER", "redis-operator", "SKIPME", "yes"]);
    wait_for("another connection", async || {
        let again = watched.watch.connection("u0")?;
        (!again.is_closed() && watched.watch.unattached().len() == 1).then_some(())
    })
    .await;
    watched.answering("u0").await;
    watched.watch.attach(&waiting).await;
    assert!(!watched.seen("u0").await.attached);
}

#[tokio::test]
async fn since_when_it_refuses_is_kept() {
    let watched = Watched::new(OFTEN);
    watched.watch.set_targets(&[target(0, free_address())]);
    let refused = |reach: &Reach| matches!(reach, Reach::Refused { .. });
    let first = watched.until("u0", "a refusal", refused).await;
    let wakes = watched.wakes();
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(watched.seen("u0").await, first);
    assert_eq!(watched.wakes(), wakes, "the same state is no news");
    assert_eq!(first.last, None);
}

#[tokio::test]
async fn writes_are_no_news_and_settings_are() {
    let server = Server::open();
    let watched = watching(&[&server], OFTEN).await;
    // A replica of sorts, so that offsets grow.
    let mut replica = server.client();
    replica.send(&["SYNC"]);
    let online = wait_for("the replica to be online", async || {
        let now = watched.seen("u0").await.last?.replication;
        (now.online == 1).then_some(now)
    })
    .await;
    let mut writer = server.guest();
    let wakes = watched.wakes();
    for i in 0..50 {
        assert_eq!(writer.call(&["SET", &i.to_string(), "x"]), "OK");
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    assert_eq!(watched.wakes(), wakes);
    assert!(watched.seen("u0").await.last.unwrap().replication.offset > online.offset);
    server.client().call(&["CONFIG", "SET", "min-replicas-max-lag", "3"]);
    watched.woken_since(wakes).await;
}

#[tokio::test]
async fn what_changes_between_two_probes_is_told() {
    let server = Server::fenced();
    let watched = watching(&[&server], OFTEN).await;
    let mut admin = server.client();
    for command in [
        &["ACL", "SETUSER", "r-one"][..],
        &["CONFIG", "SET", "replica-serve-stale-data", "yes"],
        &["CONFIG", "SET", "masteruser", "r-two"],
        &["REPLICAOF", "NO", "ONE"],
    ] {
        let before = watched.wakes();
        assert_eq!(admin.call(command), "OK");
        watched.woken_since(before).await;
    }
    let answer = watched.seen("u0").await.last.unwrap();
    assert_eq!(answer.replication.role, Role::Master);
    assert!(answer.serves && answer.users.contains("r-one") && answer.attaches_as == "r-two");
}

#[tokio::test]
async fn d03_a_busy_instance_is_alive_and_answers_again_on_the_same_connection() {
    let server = Server::open();
    let watched = watching(&[&server], OFTEN).await;
    let connection = watched.watch.connection("u0").unwrap();
    let mut script = server.client();
    script.send(&["EVAL", "while true do end", "0"]);
    let alive = |reach: &Reach| matches!(reach, Reach::Alive(text) if text.starts_with("BUSY"));
    let seen = watched.until("u0", "it to be busy", alive).await;
    assert!(seen.last.is_some());
    assert_eq!(server.guest().call(&["SCRIPT", "KILL"]), "OK");
    watched.answering("u0").await;
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn a_wrong_password_is_alive() {
    let server = Server::fenced();
    let watched = Watched::as_user(login("redis-operator", "not-the-password"), OFTEN);
    watched.watch.set_targets(&[target(0, server.ip)]);
    let alive = |reach: &Reach| matches!(reach, Reach::Alive(text) if text.starts_with("WRONGPASS"));
    watched.until("u0", "a wrong password", alive).await;
    assert!(watched.watch.connection("u0").is_none());
}

#[tokio::test]
async fn b05_d11_one_that_talks_nonsense_is_alive_and_is_not_asked_without_pause() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let count = attempts.clone();
    let stub = Stub::answering(move |words| {
        if words[0] == "AUTH" {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Some(if words[0] == "EXEC" { "nonsense\r\n" } else { "+OK\r\n" }.into())
    })
    .await;
    let watched = Watched::new(Duration::from_millis(200));
    watched.watch.set_targets(&[target(0, stub.address.ip())]);
    let begun = Instant::now();
    let alive = |reach: &Reach| matches!(reach, Reach::Alive(_));
    watched.until("u0", "it to be called alive", alive).await;
    let attempts = wait_for("further attempts", async || {
        let attempts = u128::try_from(attempts.load(Ordering::SeqCst)).unwrap();
        (attempts > 3).then_some(attempts)
    })
    .await;
    let most = begun.elapsed().as_millis() / 200 + 2;
    assert!(attempts <= most, "{attempts} attempts, at most {most}");
}

#[tokio::test]
async fn one_that_leaves_loses_its_connection_and_the_others_keep_theirs() {
    let (one, two) = (Server::fenced(), Server::fenced());
    let (mut a, mut b) = (one.client(), two.client());
    let watched = watching(&[&one, &two], RARELY).await;
    watched.watch.attach(&watched.watch.unattached()).await;
    // Attaching has cut these as well.
    assert_eq!(a.call(&["PING"]) + &b.call(&["PING"]), "");
    (a, b) = (one.client(), two.client());
    assert_eq!((others(&mut a), others(&mut b)), (1, 1));
    watched.watch.set_targets(&[target(1, two.ip)]);
    wait_for("the socket to be closed", async || (others(&mut a) == 0).then_some(())).await;
    let seen: BTreeMap<_, _> = watched.watch.observe(None).await;
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["u1"]);
    assert!(seen["u1"].attached);

    drop(watched);
    wait_for("every socket to be closed", async || {
        (others(&mut b) == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pod_with_another_address_is_another_instance() {
    let (old, new) = (Server::fenced(), Server::fenced());
    let watched = watching(&[&old], RARELY).await;
    watched.watch.set_targets(&[target(0, new.ip)]);
    let seen = watched.answering("u0").await;
    assert_eq!(Some(seen.last.unwrap().replication.run_id), new.client().info("run_id"));
    let mut admin = old.client();
    wait_for("the old socket to be closed", async || {
        (others(&mut admin) == 0).then_some(())
    })
    .await;
}
