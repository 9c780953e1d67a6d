//! The checking client that writes: appends numbers to a list through a Service and writes down each acknowledgement.

use anyhow::Result;
use clap::Parser;
use e2e::log::Outcome;
use e2e::resp::{Connection, Reply, Trouble};
use e2e::session::Session;
use std::time::Duration;

/// How long WAIT may wait for replicas.
const WAIT_LIMIT: Duration = Duration::from_millis(500);

/// Appends 1, 2, 3 … to a list and logs every acknowledgement.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    session: Session,
    /// Count a write only when this many replicas have confirmed it.
    #[arg(long)]
    wait: Option<i64>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    args.session.run(|connection, seq| write(connection, &args, seq))
}

fn write(connection: &mut Connection, args: &Args, seq: u64) -> Result<Outcome, Trouble> {
    connection.call(&["RPUSH", &args.session.key, &seq.to_string()])?;
    let Some(wanted) = args.wait else {
        return Ok(Outcome::Acknowledged);
    };
    let limit = WAIT_LIMIT.as_millis().to_string();
    let wait = ["WAIT", &wanted.to_string(), &limit];
    match connection.call_within(&wait, WAIT_LIMIT)? {
        Reply::Integer(replicas) if replicas >= wanted => Ok(Outcome::Acknowledged),
        Reply::Integer(replicas) => Ok(Outcome::Unconfirmed { replicas }),
        other => Err(Trouble::Nonsense(format!("WAIT answered {other:?}"))),
    }
}
