//! What the checking clients have in common: one connection, one attempt after the other, and every outcome written down.
//!
//! A process of its own, so that it can run on a node (`nsenter --net=… writer …`) and die without its reader. Any error
//! closes the connection and a fresh one is opened at once, as a plain application does. It ends when its standard
//! input does, or by any signal.

use crate::log::{Attempt, Clock, Outcome};
use crate::resp::{Connection, Trouble};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What every client is told.
#[derive(clap::Args)]
pub struct Session {
    /// Whom to ask: the Service's address, such as 10.96.0.7:6379.
    address: SocketAddr,
    /// The list.
    pub key: String,
    /// Milliseconds between attempts.
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

impl Session {
    /// Does it again and again, with a number that grows, until standard input ends.
    pub fn run(&self, mut act: impl FnMut(&mut Connection, u64) -> Result<Outcome, Trouble>) -> Result<()> {
        let mut out = File::create(&self.out).with_context(|| format!("cannot write {}", self.out.display()))?;
        let ended = ended_with_stdin();
        let clock = Clock::start();
        let pause = Duration::from_millis(self.every);
        let mut server = self.connect();
        for seq in 1.. {
            if ended.load(Ordering::Relaxed) {
                break;
            }
            let sent = clock.now();
            let (process, outcome) = match &mut server {
                Ok(open) => {
                    let outcome = act(&mut open.connection, seq).unwrap_or_else(|trouble| failed(&trouble));
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
                server = self.connect();
            }
            thread::sleep(pause);
        }
        Ok(())
    }

    fn connect(&self) -> Result<Server, Trouble> {
        let mut connection = Connection::open(self.address, self.password.as_deref())?;
        let run_id = connection.info("server", "run_id")?;
        Ok(Server { connection, run_id })
    }
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

fn failed(trouble: &Trouble) -> Outcome {
    Outcome::Failed { kind: trouble.kind() }
}
