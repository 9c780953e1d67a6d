//! The shell of redis-operator: observe, decide, execute, report. What to do is decided in `redis_operator_core`.

pub mod admin;
pub mod args;
pub mod client;
pub mod controller;
mod duration;
pub mod error;
pub mod events;
pub mod fail_point;
pub mod key;
pub mod lease;
pub mod log;
pub mod metrics;
pub mod mirror;
pub mod redis;
pub mod trigger;
