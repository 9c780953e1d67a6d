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
use redis_operator_core::version::obstacle;
use support::replication::{ask, attach, claim, synced};
use support::{Server, ServerOptions, other_program, wait};

/// The user of whoever follows.
const USER: &str = "r-uid";

/// Of another version than the other servers.
fn installed(fenced: bool) -> Server {
    Server::start(&ServerOptions {
        fenced,
        installed: true,
        ..ServerOptions::default()
    })
}

async fn promote(replica: &Connection) {
    let frozen = replica.freeze().await.unwrap();
    replica.promote(&claim(&frozen), &[]).await.unwrap();
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
    attach(&of_new, &of_old, &old.host(), USER).await;
    synced(&of_new, &of_old).await;
    assert_eq!(new.client().call(&["GET", "key"]), "old");

    of_old.freeze().await.unwrap();
    promote(&of_new).await;
    attach(&of_old, &of_new, &new.host(), USER).await;
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
    attach(&of_back, &of_new, &new.host(), USER).await;
    // it tries again and again, and comes to nothing
    wait("three full syncs in vain", || {
        assert_eq!(back.client().info("master_link_status").as_deref(), Some("down"));
        syncs() >= begun + 3
    });
    let empty = ask(&of_back).await;
    assert_eq!((empty.keys, empty.upstream.unwrap().link_up), (0, false));
}
