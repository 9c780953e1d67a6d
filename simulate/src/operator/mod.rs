//! Operator processes: the real passes over simulated connections.

mod cluster;
mod pass;
mod post;
mod process;
mod servers;
mod side;
mod source;

pub use process::Operator;
pub use side::Planned;
