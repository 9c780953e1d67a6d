//! Every interleaving of a small world around the real `decide`, breadth first, with the shortest way to what is wrong.
//!
//! Three instances, two operators, a few faults. The explorer holds no rule: what is decided is decided by the core, what a
//! step does is what `execute` and redis do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    reason = "it only checks, and may end with a panic"
)]

pub mod beginning;
pub mod canon;
pub mod check;
pub mod config;
pub mod live;
pub mod memo;
pub mod search;
pub mod table;
pub mod tell;
pub mod walk;
pub mod world;
