//! The functional core of redis-operator: observe in, plan out.
//!
//! Nothing here waits, asks the time, draws a random number or talks to anybody; Kubernetes is known only as types.

pub mod annotations;
pub mod api;
pub mod conditions;
pub mod config;
pub mod credentials;
pub mod decide;
pub mod memory;
pub mod names;
pub mod observed;
pub mod plan;
pub mod record;
pub mod replication;
pub mod resources;
pub mod rule;
pub mod status;
pub mod version;
