//! What the cluster tests, the demo and the figures share: faults, a checking client, and judges of what it saw.

pub mod client;
pub mod cluster;
pub mod counted;
pub mod drain;
pub mod fault;
pub mod harness;
pub mod health;
pub mod history;
pub mod idle;
pub mod ledger;
pub mod local_operator;
pub mod log;
pub mod observer;
pub mod operator;
pub mod outage;
pub mod pod;
pub mod reign;
pub mod report;
pub mod resp;
pub mod runs;
pub mod session;
pub mod space;
pub mod subject;
pub mod trial;
pub mod verdict;
