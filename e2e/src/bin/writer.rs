//! The checking client: appends numbers to a list through a Service and writes down each acknowledgement.
//!
//! A process of its own, so that it can run on a node (`nsenter --net=… writer …`) and die without its reader. Any error
//! closes the connection and a fresh one is opened at once, as a plain application does. It ends when its standard
//! input does, or by any signal.

use anyhow::{Context, Result};
use clap::Parser;
use e2e::log::{Attempt, Clock, Outcome};
use e2e::resp::{Connection, Reply, Trouble};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long WAIT may wait for replicas.
const WAIT_LIMIT: Duration = Duration::from_millis(500);

/// Appends 1, 2, 3 … to a list and logs every acknowledgement.
#[derive(Parser)]
struct Args {
    /// Where to write: the Service's address, such as 10.96.0.7:6379.
    address: SocketAddr,
    /// The list.
    key: String,
    /// Count a write only when this many replicas have confirmed it.
    #[arg(long)]
    wait: Option<i64>,
    /// Milliseconds between writes.
    #[arg(long, default_value_t = 5)]
    every: u64,
    /// Password of the default user.
    #[arg(long)]
    password: Option<String>,
    /// The log.
    #[arg(long)]
    out: PathBuf,
}

/// A connection, and the process at its other end.
struct Server {
    connection: Connection,
    run_id: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut out = File::create(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    let ended = ended_with_stdin();
    let clock = Clock::start();
    let pause = Duration::from_millis(args.every);
    let mut server = connect(&args);
    for seq in 1.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let sent = clock.now();
        let (process, outcome) = match &mut server {
            Ok(open) => {
                let outcome = write(open, &args, seq).unwrap_or_else(|trouble| failed(&trouble));
                (Some(open.run_id.clone()), outcome)
            }
            Err(trouble) => (None, failed(trouble)),
        };
        let attempt = Attempt {
            seq,
            sent,
            at: clock.now(),
            server: process,
            outcome,
        };
        let mut line = serde_json::to_vec(&attempt)?;
        line.push(b'\n');
        out.write_all(&line)?;
        if matches!(attempt.outcome, Outcome::Failed { .. }) {
            // closed before the fresh one is opened
            drop(server);
            server = connect(&args);
        }
        thread::sleep(pause);
    }
    Ok(())
}

fn ended_with_stdin() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    thread::spawn(move || {
        // whether input ends or cannot be read, nobody holds this process any more
        let _ = io::stdin().read_to_end(&mut Vec::new());
        flag.store(true, Ordering::Relaxed);
    });
    ended
}

fn connect(args: &Args) -> Result<Server, Trouble> {
    let mut connection = Connection::open(args.address, args.password.as_deref())?;
    let run_id = connection.info("server", "run_id")?;
    Ok(Server { connection, run_id })
}

fn write(server: &mut Server, args: &Args, seq: u64) -> Result<Outcome, Trouble> {
    server.connection.call(&["RPUSH", &args.key, &seq.to_string()])?;
    let Some(wanted) = args.wait else {
        return Ok(Outcome::Acknowledged);
    };
    let limit = WAIT_LIMIT.as_millis().to_string();
    let wait = ["WAIT", &wanted.to_string(), &limit];
    match server.connection.call_within(&wait, WAIT_LIMIT)? {
        Reply::Integer(replicas) if replicas >= wanted => Ok(Outcome::Acknowledged),
        Reply::Integer(replicas) => Ok(Outcome::Unconfirmed { replicas }),
        other => Err(Trouble::Nonsense(format!("WAIT answered {other:?}"))),
    }
}

fn failed(trouble: &Trouble) -> Outcome {
    Outcome::Failed { kind: trouble.kind() }
}
