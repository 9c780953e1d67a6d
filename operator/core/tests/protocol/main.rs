//! The protocol as one decision after another, over a world of processes: scenarios by id, and laws.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may end with a panic"
)]

mod adopt;
mod back_off;
mod complete;
mod crash;
mod data;
mod detect;
mod edges;
mod elect;
mod election;
mod evidence;
mod histories;
mod info;
mod laws;
mod members;
mod one_thing;
mod patience;
mod priority;
mod promotion;
mod random;
mod record;
mod restart;
mod roll;
mod silence;
mod start;
mod switch;
mod told;
mod wish;
mod world;

use mimalloc::MiMalloc;

/// Thousands of small worlds are made and thrown away: a third of the time would be the allocator's otherwise.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
