//! The client that overwrites much data at a steady rate, so that replicas have something to catch up with.

use anyhow::Result;
use clap::Parser;
use e2e::load::{Load, Stream};
use e2e::log::Outcome;
use e2e::session::Session;
use std::time::Instant;

/// Overwrites values of 100 kB and logs every round.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    session: Session,
    #[command(flatten)]
    load: Load,
}

fn main() -> Result<()> {
    let Args { session, load } = Args::parse();
    let mut stream = Stream::new(load);
    let begun = Instant::now();
    session.run(|connection, _| {
        stream.go_on(connection, begun.elapsed())?;
        Ok(Outcome::Acknowledged)
    })
}
