//! What an upgrade to another server and the way back come to, by real processes: the redis-server that the machine has
//! installed, and the one that REDIS_SERVER names. `scripts/stage valkey` has both.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod support;

use redis_operator::redis::Connection;
use redis_operator_core::observed::Moment;
use redis_operator_core::record::{Claim, Process};
use redis_operator_core::replication::Replication;
use redis_operator_core::version::obstacle;
use support::{PORT, Server, ServerOptions, other_program, wait, wait_for};

/// Of another version than the other servers.
fn installed(fenced: bool) -> Server {
    Server::start(&ServerOptions {
        fenced,
        installed: true,
        ..ServerOptions::default()
    })
}

async fn ask(connection: &Connection) -> Replication {
    connection.probe(Moment(0)).await.unwrap().replication
}

async fn follow(replica: &Connection, master: &Connection, host: &str) {
    master.add_user("r-uid", "members-password").await.unwrap();
    replica.follow(host, PORT, "r-uid", "members-password").await.unwrap();
}

async fn synced(replica: &Connection, master: &Connection) {
    wait_for("the replica to be synced", async || {
        let (goal, found) = (ask(master).await, ask(replica).await);
        let up = found.upstream.as_ref().is_some_and(|upstream| upstream.link_up);
        (up && found.id == goal.id && found.offset >= goal.offset).then_some(())
    })
    .await;
}

async fn promote(replica: &Connection) {
    let frozen = replica.freeze().await.unwrap();
    let process = Process {
        pod: "redis-a-0".to_owned(),
        uid: "uid".to_owned(),
        run_id: frozen.run_id.clone(),
        address: "10.0.0.1".to_owned(),
        node: String::new(),
        container: None,
        ended: false,
    };
    let (id, offset) = (frozen.id.clone(), frozen.offset);
    replica.promote(&Claim { process, id, offset }, &[]).await.unwrap();
}

/// As an image is called whose servers say this version of themselves.
fn image(server: &Server) -> String {
    let mut client = server.client();
    match client.info("valkey_version") {
        Some(version) => format!("valkey:{version}"),
        None => format!("redis:{}", client.info("redis_version").unwrap()),
    }
}

/// Replicas first, then a switchover: the new ones have everything, and the former master follows as long as it is there.
/// What comes anew with the old version gets nothing, and the names of the images say so before anybody is restarted.
#[tokio::test]
async fn r04_r05_a_newer_server_follows_an_older_one_and_not_the_other_way() {
    let Some(program) = other_program() else {
        println!("skipped: REDIS_SERVER names no server of another version; scripts/stage valkey does");
        return;
    };
    let (old, new) = (installed(false), Server::fenced());
    let (before, after) = (image(&old), image(&new));
    assert!(
        before.starts_with("redis:7.0.") && after.starts_with("valkey:8."),
        "{before}, {program:?}: {after}"
    );
    assert_eq!(obstacle(&before, &after), None);
    old.client().call(&["SET", "key", "old"]);
    let (of_old, of_new) = (old.connection().await, new.connection().await);
    follow(&of_new, &of_old, &old.host()).await;
    synced(&of_new, &of_old).await;
    assert_eq!(new.client().call(&["GET", "key"]), "old");

    of_old.freeze().await.unwrap();
    promote(&of_new).await;
    follow(&of_old, &of_new, &new.host()).await;
    synced(&of_old, &of_new).await;
    new.client().call(&["SET", "key", "new"]);
    synced(&of_old, &of_new).await;
    assert_eq!(old.client().call(&["GET", "key"]), "new");

    let why = obstacle(&after, &before).unwrap();
    assert!(why.contains("RDB version 11"), "{why}");
    let back = installed(true);
    let of_back = back.connection().await;
    let syncs = || -> u64 { new.client().info("sync_full").unwrap().parse().unwrap() };
    let begun = syncs();
    follow(&of_back, &of_new, &new.host()).await;
    // it tries again and again, and comes to nothing
    wait("three full syncs in vain", || {
        assert_eq!(back.client().info("master_link_status").as_deref(), Some("down"));
        syncs() >= begun + 3
    });
    let empty = ask(&of_back).await;
    assert_eq!((empty.keys, empty.upstream.unwrap().link_up), (0, false));
}
