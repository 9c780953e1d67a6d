//! The shell of redis-operator: observe, decide, execute, report. What to do is decided in `redis_operator_core`.

pub mod absence;
pub mod admin;
pub mod args;
mod attempts;
pub mod client;
pub mod cluster;
pub mod controller;
pub mod converge;
pub mod departed;
mod duration;
pub mod error;
pub mod evacuation;
pub mod events;
pub mod execute;
mod exporter;
pub mod fail_point;
pub mod failing;
#[cfg(test)]
#[allow(dead_code, reason = "the tests of whole failovers use it too")]
mod fake_api;
pub mod freshness;
pub mod gather;
pub mod image;
pub mod invalid;
pub mod key;
pub mod lease;
pub mod log;
pub mod metrics;
pub mod mirror;
pub mod missing;
pub mod newer;
pub mod objects;
pub mod outage;
pub mod pass;
mod pause;
pub mod pods;
pub mod process;
pub mod redis;
mod renewing;
pub mod report;
pub mod resource;
#[cfg(feature = "rules-out")]
pub mod rules_out;
pub mod servers;
pub mod shortage;
pub mod slice;
pub mod telling;
pub mod trace;
pub mod trigger;
pub mod watch;
