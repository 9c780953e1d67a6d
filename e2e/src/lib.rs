//! What the cluster tests, the demo and the figures share: faults, a checking client, and judges of what it saw.

pub mod history;
pub mod log;
pub mod observer;
pub mod report;
pub mod resp;
