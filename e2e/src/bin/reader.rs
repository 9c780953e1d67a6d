//! The checking client that reads: asks for the length of a list through a Service, over one connection as long as that
//! lasts, and writes down each answer.

use anyhow::Result;
use clap::Parser;
use e2e::log::Outcome;
use e2e::resp::{Reply, Trouble};
use e2e::session::Session;

/// Asks how long a list is and logs every answer.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    session: Session,
}

fn main() -> Result<()> {
    let Args { session } = Args::parse();
    session.run(|connection, _| match connection.call(&["LLEN", &session.key])? {
        Reply::Integer(_) => Ok(Outcome::Acknowledged),
        other => Err(Trouble::Nonsense(format!("LLEN answered {other:?}"))),
    })
}
