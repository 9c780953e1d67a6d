//! Operator processes: the real passes over simulated connections.

mod pass;
mod post;
mod process;
mod servers;
mod side;
mod source;
mod store;

pub use process::Operator;
pub use side::Planned;
