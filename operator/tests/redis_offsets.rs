//! Ids and offsets as real processes tell them: whatever is frozen can be claimed, and its promotion verifies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod support;

use redis_operator::redis::Connection;
use redis_operator_core::replication::{Replication, Role};
use support::replication::{ask, attach, claim, synced};
use support::{Server, ServerOptions, wait, wait_for};

/// The user of whoever follows.
const USER: &str = "r-uid";

/// Freezes, claims what was frozen and promotes; gives both states.
async fn freeze_and_promote(connection: &Connection) -> (Replication, Replication) {
    let frozen = connection.freeze().await.unwrap();
    assert!(frozen.is_frozen());
    let promoted = connection.promote(&claim(&frozen), &[]).await.unwrap();
    assert_eq!(promoted.forked_at, Some(frozen.offset));
    assert!(promoted.offset >= frozen.offset);
    (frozen, promoted)
}

/// Every second alone, a write may stay in the process for two while the disk is busy, and ends with it.
const LOGGED: &str = "appendonly yes\nappendfsync always";

fn with(lines: &str) -> ServerOptions {
    ServerOptions {
        lines: lines.to_owned(),
        ..ServerOptions::default()
    }
}

#[tokio::test]
async fn a_master_that_never_had_a_replica() {
    let server = Server::open();
    server.guest().call(&["SET", "a", "1"]);
    let connection = server.connection().await;
    let before = ask(&connection).await;
    let (frozen, promoted) = freeze_and_promote(&connection).await;
    assert_eq!(frozen.offset, before.offset);
    assert_eq!(promoted.keys, 1);
}

#[tokio::test]
async fn a_master_with_replicas_that_is_demoted() {
    let (master, replica) = (Server::open(), Server::fenced());
    let (m, r) = (master.connection().await, replica.connection().await);
    attach(&r, &m, &master.host(), USER).await;
    synced(&r, &m).await;
    for i in 0..10 {
        master.guest().call(&["SET", &i.to_string(), "x"]);
    }
    let before = ask(&m).await;
    assert!(before.offset > 0);
    let (frozen, promoted) = freeze_and_promote(&m).await;
    assert!(frozen.offset >= before.offset);
    assert_eq!(frozen.id, before.id);
    assert_eq!(promoted.role, Role::Master);
}

#[tokio::test]
async fn a_replica_under_writes() {
    let (master, replica) = (Server::open(), Server::fenced());
    let (m, r) = (master.connection().await, replica.connection().await);
    attach(&r, &m, &master.host(), USER).await;
    synced(&r, &m).await;
    let mut writer = master.guest();
    for i in 0..500 {
        writer.send(&["SET", &i.to_string(), "x"]);
    }
    let (frozen, _) = freeze_and_promote(&r).await;
    for _ in 0..500 {
        assert_eq!(writer.reply(), "OK");
    }
    assert!(frozen.offset <= ask(&m).await.offset);
}

#[tokio::test]
async fn a_replica_that_restarts_from_its_snapshot_keeps_its_place() {
    let (master, mut replica) = (Server::open(), Server::fenced());
    let m = master.connection().await;
    let r = replica.connection().await;
    attach(&r, &m, &master.host(), USER).await;
    // Bytes count only once somebody follows.
    synced(&r, &m).await;
    master.guest().call(&["SET", "a", "1"]);
    synced(&r, &m).await;
    assert_eq!(replica.client().call(&["SAVE"]), "OK");
    let before = ask(&r).await;
    replica.kill();
    replica.restart(&with(""));
    let r = replica.connection().await;
    let after = ask(&r).await;
    assert_eq!(after.id, before.id);
    assert!(after.placed);
    assert!(
        after.offset > 0 && after.offset <= before.offset,
        "{} {}",
        after.offset,
        before.offset
    );
    assert_eq!(after.keys, 1);
    let (frozen, _) = freeze_and_promote(&r).await;
    assert_eq!(frozen.offset, after.offset);
}

#[tokio::test]
async fn one_that_restarts_from_an_append_only_file_has_data_of_a_new_history() {
    let (master, mut replica) = (Server::open(), Server::start(&with(LOGGED)));
    let m = master.connection().await;
    let r = replica.connection().await;
    attach(&r, &m, &master.host(), USER).await;
    synced(&r, &m).await;
    master.guest().call(&["SET", "a", "1"]);
    synced(&r, &m).await;
    let before = ask(&r).await;
    assert!(before.appendonly);
    let mut client = replica.client();
    wait("the rewrite to end", || !client.rewrites_its_log());
    replica.kill();
    replica.restart(&with(LOGGED));
    let r = replica.connection().await;
    let after = ask(&r).await;
    assert_ne!(after.id, before.id);
    assert_eq!((after.offset, after.placed, after.keys), (0, false, 1));
    freeze_and_promote(&r).await;
}

/// What it had before the full sync is what it brings back, and nothing but `rewriting` tells.
#[tokio::test]
async fn d17_one_that_ends_before_its_file_is_written_anew_has_what_it_had_before_the_full_sync() {
    let slow = format!("{LOGGED}\nrdb-key-save-delay 1000000");
    let (master, mut replica) = (Server::open(), Server::start(&with(&slow)));
    for i in 0..60 {
        master.guest().call(&["SET", &i.to_string(), "x"]);
    }
    let (m, r) = (master.connection().await, replica.connection().await);
    attach(&r, &m, &master.host(), USER).await;
    synced(&r, &m).await;
    let before = ask(&r).await;
    assert!(before.rewriting && before.link_is_up());
    assert_eq!(before.keys, 60);
    replica.kill();
    replica.restart(&with(LOGGED));
    let r = replica.connection().await;
    let after = ask(&r).await;
    assert_eq!((after.keys, after.rewriting), (0, false));
    attach(&r, &m, &master.host(), USER).await;
    synced(&r, &m).await;
    wait_for("the file to be complete", async || {
        (!ask(&r).await.rewriting).then_some(())
    })
    .await;
    replica.kill();
    replica.restart(&with(LOGGED));
    assert_eq!(ask(&replica.connection().await).await.keys, 60);
}

#[tokio::test]
async fn one_that_is_frozen_within_its_first_full_sync_has_nothing() {
    let (master, replica) = (
        Server::start(&ServerOptions {
            fenced: false,
            lines: "rdb-key-save-delay 100000".to_owned(),
            ..ServerOptions::default()
        }),
        Server::fenced(),
    );
    for i in 0..100 {
        master.guest().call(&["SET", &i.to_string(), "x"]);
    }
    let (m, r) = (master.connection().await, replica.connection().await);
    attach(&r, &m, &master.host(), USER).await;
    wait_for("the sync to begin", async || {
        ask(&r)
            .await
            .upstream
            .is_some_and(|upstream| upstream.syncing)
            .then_some(())
    })
    .await;
    assert_eq!(ask(&r).await.offset, 0);
    let (frozen, promoted) = freeze_and_promote(&r).await;
    assert_eq!((frozen.offset, promoted.keys), (0, 0));
}
