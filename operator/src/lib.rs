//! The shell of redis-operator: observes, runs what the core decides, reports.

pub mod redis;
