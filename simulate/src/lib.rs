//! The operator's decisions and passes on simulated time, network, API server and servers.
//!
//! One seed is one run, the same for ever: the kind of world, what goes wrong in it, and every delay are drawn from it.
//! Everything that decides is the operator's own: [`decide`](redis_operator_core::decide::decide), its memory, the
//! order in which a pass observes, the execution of plans, the state of its posts, its reading of pods, slices and departed
//! pods. The servers are modelled after redis 7.0 as measured; a test compares them with the real one.
#![allow(
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "whatever of this goes wrong is a failed run"
)]

pub mod check;
pub mod clients;
pub mod cluster;
pub mod coverage;
pub mod event;
pub mod faults;
pub mod inject;
pub mod message;
pub mod network;
pub mod operator;
pub mod random;
pub mod rules;
pub mod run;
pub mod server;
pub mod settings;
pub mod timing;
pub mod world;

use mimalloc::MiMalloc;

/// A quarter of the time would be the allocator's otherwise.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
