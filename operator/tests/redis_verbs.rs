//! Every verb, against real redis-server processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod support;

use redis_operator::redis::{CallError, Connection};
use redis_operator_core::credentials;
use redis_operator_core::names;
use redis_operator_core::observed::{Answer, Moment};
use redis_operator_core::replication::Role;
use support::replication::{self, claim, synced};
use support::{Server, login, wait, wait_for};

async fn ask(connection: &Connection) -> Answer {
    connection.probe(Moment(7)).await.unwrap()
}

/// Promotes a fenced server that never followed anybody.
async fn first_master(server: &Server) -> Connection {
    let connection = server.connection().await;
    let frozen = connection.freeze().await.unwrap();
    connection.promote(&claim(&frozen), &[]).await.unwrap();
    connection
}

/// Attaches a fenced server to a master and waits until it has everything.
async fn attach(server: &Server, master: &Server, master_connection: &Connection, user: &str) -> Connection {
    let connection = server.connection().await;
    replication::attach(&connection, master_connection, &master.host(), user).await;
    synced(&connection, master_connection).await;
    connection
}

#[tokio::test]
async fn probe_tells_everything_about_a_fenced_server() {
    let server = Server::fenced();
    let connection = server.connection().await;
    let answer = ask(&connection).await;
    assert_eq!(answer.asked, Moment(7));
    assert_eq!(answer.replication.role, Role::Replica);
    assert!(answer.replication.is_frozen());
    assert_eq!(answer.replication.offset, 0);
    assert_eq!(answer.replication.id2, None);
    assert_eq!((answer.guard, answer.guard_lag, answer.serves), (0, 10, false));
    assert!(answer.users.is_empty());
    assert_eq!(answer.attaches_as, "");
    assert_eq!(Some(answer.replication.run_id), server.client().info("run_id"));
}

#[tokio::test]
async fn f01_f17_a_fenced_server_takes_no_write_and_answers_no_read_and_feeds_nobody() {
    let fenced = Server::fenced();
    let mut guest = fenced.guest();
    assert!(guest.call(&["SET", "a", "1"]).starts_with("-READONLY"));
    assert!(guest.call(&["GET", "a"]).starts_with("-MASTERDOWN"));
    let connection = fenced.connection().await;
    connection.add_user("r-uid", "members-password").await.unwrap();
    let mut member = fenced.guest();
    assert_eq!(member.call(&["AUTH", "r-uid", "members-password"]), "OK");
    let refusal = member.call(&["PSYNC", "?", "-1"]);
    assert!(
        refusal.starts_with("-MASTERDOWN") || refusal.starts_with("-NOMASTERLINK"),
        "{refusal}"
    );
    assert!(ask(&connection).await.replication.misdirected >= 2);
}

#[tokio::test]
async fn first_promotion_of_one_that_never_was_synced_keeps_its_claim() {
    let server = Server::fenced();
    let connection = server.connection().await;
    let frozen = connection.freeze().await.unwrap();
    let promoted = connection.promote(&claim(&frozen), &[]).await.unwrap();
    assert_eq!(promoted.role, Role::Master);
    assert_eq!(promoted.id2, Some(frozen.id.clone()));
    assert_eq!(promoted.forked_at, Some(frozen.offset));
    assert_eq!(server.guest().call(&["SET", "a", "1"]), "OK");
    // Once more: the same answer, nothing changed.
    let again = connection.promote(&claim(&frozen), &[]).await.unwrap();
    assert_eq!(again.id, promoted.id);
    assert_eq!(again.id2, promoted.id2);
}

#[tokio::test]
async fn a_member_follows_with_its_own_user_and_becomes_synced() {
    let (master, replica) = (Server::fenced(), Server::fenced());
    let m = first_master(&master).await;
    assert_eq!(master.guest().call(&["SET", "a", "1"]), "OK");
    let r = attach(&replica, &master, &m, "r-one").await;
    let answer = ask(&r).await;
    assert_eq!(answer.attaches_as, "r-one");
    assert_eq!(answer.replication.keys, 1);
    let upstream = answer.replication.upstream.unwrap();
    assert_eq!((upstream.host, upstream.port), (master.host(), support::PORT));
    assert!(!upstream.syncing);
    assert!(upstream.heard_seconds.is_some());
    // The master calls it online only once it has acknowledged.
    let online = async || Some(ask(&m).await).filter(|answer| answer.replication.online == 1);
    let answer = wait_for("the replica to be online", online).await;
    assert_eq!(answer.users.into_iter().collect::<Vec<_>>(), ["r-one"]);
}

#[tokio::test]
async fn following_without_a_user_on_the_master_gives_no_link() {
    let (master, replica) = (Server::fenced(), Server::fenced());
    let m = first_master(&master).await;
    let r = replica.connection().await;
    r.follow(&master.host(), support::PORT, "r-absent", "members-password")
        .await
        .unwrap();
    let mut admin = master.client();
    wait("the master to refuse it", || {
        admin.info("errorstat_WRONGPASS").is_some()
    });
    assert!(!ask(&r).await.replication.upstream.unwrap().link_up);
    assert_eq!(ask(&m).await.replication.online, 0);
}

#[tokio::test]
async fn f07_a_member_of_another_resource_cannot_attach() {
    // the dead master's address now belongs to another resource's master, which even knows a member of this uid
    let (master, replica) = (Server::fenced(), Server::fenced());
    let m = first_master(&master).await;
    let user = names::replication_user("uid-of-the-pod");
    let password =
        |redis: &str| credentials::replication_password(b"key of the operator, long enough", redis, "uid-of-the-pod");
    m.add_user(&user, &password("uid-of-b")).await.unwrap();
    let r = replica.connection().await;
    r.follow(&master.host(), support::PORT, &user, &password("uid-of-a"))
        .await
        .unwrap();
    let mut admin = master.client();
    wait("the master to refuse it", || {
        admin.info("errorstat_WRONGPASS").is_some()
    });
    assert!(!ask(&r).await.replication.upstream.unwrap().link_up);
    assert_eq!(ask(&m).await.replication.online, 0);
}

#[tokio::test]
async fn f13_only_a_members_user_can_feed_on_a_master() {
    let master = Server::fenced();
    let connection = first_master(&master).await;
    let mut guest = master.guest();
    for command in [
        &["PSYNC", "?", "-1"][..],
        &["SYNC"],
        &["REPLCONF", "ACK", "100"],
        &["REPLICAOF", "NO", "ONE"],
    ] {
        let refusal = guest.call(command);
        assert!(refusal.starts_with("-NOPERM"), "{command:?}: {refusal}");
    }
    connection.add_user("r-uid", "members-password").await.unwrap();
    let mut member = master.guest();
    assert_eq!(member.call(&["AUTH", "r-uid", "members-password"]), "OK");
    assert!(member.call(&["GET", "a"]).starts_with("-NOPERM"));
    assert!(member.call(&["ACL", "WHOAMI"]).starts_with("-NOPERM"));
    assert!(member.call(&["PSYNC", "?", "-1"]).starts_with("FULLRESYNC"));
}

#[tokio::test]
async fn dropping_a_user_cuts_its_replica_off_at_once() {
    let (master, replica) = (Server::fenced(), Server::fenced());
    let m = first_master(&master).await;
    let r = attach(&replica, &master, &m, "r-one").await;
    m.drop_user("r-one").await.unwrap();
    assert_eq!(ask(&m).await.replication.online, 0);
    assert!(ask(&m).await.users.is_empty());
    wait_for("the link to be down", async || {
        let upstream = ask(&r).await.replication.upstream.unwrap();
        (!upstream.link_up).then_some(())
    })
    .await;
    m.drop_user("r-one").await.unwrap();
}

#[tokio::test]
async fn freezing_keeps_id_and_offset_and_promotion_lets_the_siblings_resume() {
    let (mut master, one, two) = (Server::fenced(), Server::fenced(), Server::fenced());
    let m = first_master(&master).await;
    let a = attach(&one, &master, &m, "r-one").await;
    let b = attach(&two, &master, &m, "r-two").await;
    let mut writer = master.guest();
    for i in 0..100 {
        assert_eq!(writer.call(&["SET", &i.to_string(), "x"]), "OK");
    }
    assert_eq!(writer.call(&["WAIT", "2", "5000"]), "2");
    let last = ask(&m).await.replication;
    synced(&a, &m).await;
    synced(&b, &m).await;
    master.kill();
    m.closed().await;

    let frozen = a.freeze().await.unwrap();
    assert!(frozen.is_frozen());
    assert_eq!(frozen.id, last.id);
    assert!(frozen.offset >= last.offset);
    assert_eq!(ask(&a).await.replication.offset, frozen.offset);
    b.freeze().await.unwrap();

    let promoted = a
        .promote(&claim(&frozen), &[login("r-two", "another-password")])
        .await
        .unwrap();
    assert_eq!(promoted.id2, Some(frozen.id.clone()));
    assert_eq!(promoted.forked_at, Some(frozen.offset));
    assert_ne!(promoted.id, frozen.id);
    let answer = ask(&a).await;
    assert!(answer.serves);
    assert_eq!(answer.guard, 0);
    assert_eq!(answer.users.into_iter().collect::<Vec<_>>(), ["r-two"]);
    assert_eq!(one.guest().call(&["GET", "99"]), "x");

    b.follow(&one.host(), support::PORT, "r-two", "another-password")
        .await
        .unwrap();
    synced(&b, &a).await;
    let mut admin = one.client();
    assert_eq!(admin.info("sync_full").as_deref(), Some("0"));
    assert_eq!(admin.info("sync_partial_ok").as_deref(), Some("1"));
    assert_eq!(two.client().call(&["DBSIZE"]), "100");
}

#[tokio::test]
async fn f11_a_demoted_master_is_fenced_and_its_clients_are_gone() {
    let server = Server::fenced();
    let connection = first_master(&server).await;
    let mut client = server.guest();
    assert_eq!(client.call(&["SET", "a", "1"]), "OK");
    let last = ask(&connection).await.replication;

    let demoted = connection.demote("default").await.unwrap();
    assert!(demoted.is_frozen());
    assert_eq!((&demoted.id, demoted.offset), (&last.id, last.offset));
    assert!(!ask(&connection).await.serves);
    assert_eq!(client.call(&["PING"]), "");
    assert!(server.guest().call(&["GET", "a"]).starts_with("-MASTERDOWN"));
}

#[tokio::test]
async fn a_freeze_is_undone_by_a_partial_resync() {
    let (master, replica) = (Server::fenced(), Server::fenced());
    let m = first_master(&master).await;
    let r = attach(&replica, &master, &m, "r-one").await;
    r.freeze().await.unwrap();
    r.follow(&master.host(), support::PORT, "r-one", "members-password")
        .await
        .unwrap();
    synced(&r, &m).await;
    let mut admin = master.client();
    assert_eq!(admin.info("sync_full").as_deref(), Some("1"));
    assert_eq!(admin.info("sync_partial_ok").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_promotion_that_is_not_as_claimed_is_told() {
    let server = Server::fenced();
    let connection = server.connection().await;
    let right = claim(&connection.freeze().await.unwrap());
    let mut process = right.clone();
    process.process.run_id = "another".to_owned();
    let mut history = right.clone();
    history.id = "0123456789012345678901234567890123456789".to_owned();
    let mut offset = right.clone();
    offset.offset += 1;
    for (wrong, word) in [(process, "process"), (history, "history"), (offset, "forked")] {
        match connection.promote(&wrong, &[]).await {
            Err(CallError::NotAsClaimed(text)) => assert!(text.contains(word), "{text}"),
            other => panic!("{word}: {other:?}"),
        }
    }
    connection.promote(&right, &[]).await.unwrap();
}

#[tokio::test]
async fn guard_and_fence_are_set_and_told() {
    let master = Server::fenced();
    let connection = first_master(&master).await;
    connection.set_guard(1, 2).await.unwrap();
    let answer = ask(&connection).await;
    assert_eq!((answer.guard, answer.guard_lag), (1, 2));
    assert!(master.guest().call(&["SET", "a", "1"]).starts_with("-NOREPLICAS"));
    connection.set_serves(false).await.unwrap();
    assert!(!ask(&connection).await.serves);
    connection.set_serves(true).await.unwrap();
    assert!(ask(&connection).await.serves);
}

#[tokio::test]
async fn a_predecessor_is_cut_off_and_the_caller_is_not() {
    let server = Server::fenced();
    let (old, new) = (server.connection().await, server.connection().await);
    let mut guest = server.guest();
    new.cut_predecessors().await.unwrap();
    old.closed().await;
    assert!(old.is_closed());
    assert_eq!(old.set_guard(3, 3).await, Err(CallError::Closed));
    assert_eq!(ask(&new).await.guard, 0);
    // A fenced server answers an error, but it answers.
    assert_ne!(guest.call(&["PING"]), "");
}

#[tokio::test]
async fn clients_are_cut_by_user_and_counted() {
    let server = Server::fenced();
    let connection = first_master(&server).await;
    let mut guests = [server.guest(), server.guest()];
    for guest in &mut guests {
        assert_eq!(guest.call(&["PING"]), "PONG");
    }
    assert_eq!(connection.cut_clients("default").await, Ok(2));
    assert_eq!(connection.cut_clients("default").await, Ok(0));
    assert_eq!(connection.cut_clients("nobody").await, Ok(0));
    assert_eq!(guests[0].call(&["PING"]), "");
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn an_error_inside_a_transaction_is_told_though_the_others_ran() {
    let server = Server::fenced();
    let connection = server.connection().await;
    // A user name with a blank is refused when it runs, not when it is queued.
    let refused = connection
        .promote(
            &claim(&connection.freeze().await.unwrap()),
            &[login("r a", "secret-word")],
        )
        .await;
    match refused {
        Err(CallError::Denied(text)) => {
            assert!(text.starts_with("ACL SETUSER"), "{text}");
            assert!(!text.contains("secret-word"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ask(&connection).await.replication.role, Role::Master);
}

#[tokio::test]
async fn a_refusal_before_exec_leaves_nothing_behind() {
    let server = Server::fenced();
    let mut admin = server.client();
    assert_eq!(admin.call(&["ACL", "SETUSER", "redis-operator", "-replicaof"]), "OK");
    let connection = server.connection().await;
    match connection.freeze().await {
        Err(CallError::Denied(text)) => assert!(text.starts_with("REPLICAOF: NOPERM"), "{text}"),
        other => panic!("{other:?}"),
    }
    // The connection is not inside a transaction now.
    connection.set_guard(2, 2).await.unwrap();
    assert_eq!(ask(&connection).await.guard, 2);
}

#[tokio::test]
async fn calls_of_several_tasks_take_turns() {
    let server = Server::fenced();
    let connection = server.connection().await;
    let (a, b, c, d) = tokio::join!(
        connection.probe(Moment(1)),
        connection.set_guard(4, 5),
        connection.freeze(),
        connection.probe(Moment(2)),
    );
    assert_eq!(a.unwrap().guard, 0);
    b.unwrap();
    assert!(c.unwrap().is_frozen());
    assert_eq!(d.unwrap().guard, 4);
}

#[tokio::test]
async fn a_call_that_is_abandoned_gives_the_connection_up() {
    let server = Server::fenced();
    let connection = server.connection().await;
    server.stop();
    let abandoned = tokio::time::timeout(std::time::Duration::from_millis(10), connection.freeze());
    assert!(abandoned.await.is_err());
    assert!(connection.is_closed());
    server.resume();
}

#[tokio::test]
async fn dropping_a_connection_closes_its_socket() {
    let server = Server::fenced();
    let mut admin = server.client();
    let connection = server.connection().await;
    let count = |admin: &mut support::Client| admin.call(&["CLIENT", "LIST"]).lines().count();
    assert_eq!(count(&mut admin), 2);
    drop(connection);
    // Aborting the task that owns the socket needs the runtime to run.
    wait_for("the socket to be closed", async || {
        (count(&mut admin) == 1).then_some(())
    })
    .await;
}
