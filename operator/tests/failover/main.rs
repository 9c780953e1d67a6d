//! Whole failovers: real redis-server processes with the files that a pod mounts, the real watch, `decide`, `execute` and
//! [`Cluster`](redis_operator::cluster::Cluster); the API server and the kubelet are played.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

#[path = "../../src/fake_api.rs"]
#[allow(dead_code)]
mod fake_api;
#[path = "../support/mod.rs"]
mod support;

mod apart;
mod ledger;
mod operator;
mod pod;
mod scene;
mod world;

mod a_minute;
mod away;
mod busy;
mod by_hand;
mod control;
mod detect;
mod elect;
mod fence;
mod hung;
mod late;
mod links;
mod network;
mod quorum;
mod restart;
mod switch;
mod sync;
mod told;
