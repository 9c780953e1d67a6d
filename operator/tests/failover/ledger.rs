//! Which writes were acknowledged, and whether they are still there.

use crate::fake_api::FakeApi;
use crate::support::{Client, wait};
use crate::world::{World, of_master};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long WAIT may take on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client that goes on writing waits for replicas.
const SOON: Duration = Duration::from_millis(300);
/// After what silence such a client gives its connection up.
const SILENT: Duration = Duration::from_millis(500);

/// Acknowledged writes, by key.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    tried: Arc<AtomicUsize>,
    acknowledged: Arc<Mutex<Vec<String>>>,
}

impl Ledger {
    /// One write; the reply that is not what it should be, unless that many replicas acknowledge it in time.
    pub(crate) fn write(&self, client: &mut Client, replicas: u32, limit: Duration) -> Result<(), String> {
        let key = format!("key:{}", self.tried.fetch_add(1, Ordering::Relaxed));
        let reply = client.call(&["SET", &key, "1"]);
        if reply != "OK" {
            return Err(reply);
        }
        let reply = client.call(&["WAIT", &replicas.to_string(), &limit.as_millis().to_string()]);
        let enough = reply.parse::<u32>().is_ok_and(|count| count >= replicas);
        if !enough {
            return Err(reply);
        }
        self.acknowledged.lock().unwrap().push(key);
        Ok(())
    }

    /// The acknowledged writes that are missing there, and how many there are.
    pub(crate) fn missing(&self, client: &mut Client) -> (Vec<String>, usize) {
        let all = self.acknowledged.lock().unwrap().clone();
        let count = all.len();
        let missing = all.into_iter().filter(|key| client.call(&["GET", key]) != "1");
        (missing.collect(), count)
    }

    /// What was written before is not asked for any more.
    pub(crate) fn forget(&self) {
        self.acknowledged.lock().unwrap().clear();
    }

    /// Writes through the `-master` Service until it is told to stop.
    pub(crate) fn keep_writing(&self, api: &FakeApi, replicas: u32) -> Writer {
        let (ledger, api) = (self.clone(), api.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut client, mut last, mut gap) = (None, Instant::now(), Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                client = client.or_else(|| Some(of_master(&api)?.hurry(SILENT)));
                let done = client
                    .as_mut()
                    .is_some_and(|client| ledger.write(client, replicas, SOON).is_ok());
                if done {
                    gap = gap.max(last.elapsed());
                    last = Instant::now();
                } else {
                    client = None;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            gap
        });
        Writer {
            ledger: self.clone(),
            stop,
            thread,
        }
    }
}

/// A client that writes all the time.
pub(crate) struct Writer {
    ledger: Ledger,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Writer {
    /// Stops it after one more acknowledgement; the longest time without one.
    pub(crate) fn stop(self) -> Duration {
        let count = || self.ledger.acknowledged.lock().unwrap().len();
        let before = count();
        wait("another write", || count() > before);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl World {
    /// Writes that WAIT acknowledges with as many replicas as the record promises to be enough.
    pub(crate) fn write(&self, count: usize) {
        let wanted = self.record().quorum;
        assert!(wanted > 0 || self.pods.len() == 1, "no number for WAIT is safe yet");
        self.write_to(wanted, count);
    }

    /// Data that takes a while to send, save and load if each key is delayed.
    pub(crate) fn fill(&self, keys: usize, bytes: usize) {
        let (mut client, value) = (self.application(self.master()), "x".repeat(bytes));
        for key in 0..keys {
            assert_eq!(client.call(&["SET", &format!("filler:{key}"), &value]), "OK");
        }
    }

    /// Writes that every member has acknowledged.
    pub(crate) fn write_to_all(&self, count: usize) {
        self.write_to(self.record().size(), count);
    }

    fn write_to(&self, wanted: u32, count: usize) {
        let mut client = self.application(self.master());
        for _ in 0..count {
            // a replica's word may be too old for a moment where many processes share a processor
            let mut outcome = Ok(());
            wait("the guard to let a write pass", || {
                outcome = self.ledger.write(&mut client, wanted, PATIENCE);
                !outcome.as_ref().is_err_and(|reply| reply.starts_with("-NOREPLICAS"))
            });
            outcome.unwrap();
        }
    }

    /// A value larger than any socket's buffers, so that whoever is stopped cannot get what is written after it; then
    /// writes that one replica acknowledges.
    pub(crate) fn write_past_the_stopped(&self) {
        let mut client = self.application(self.master());
        assert_eq!(client.call(&["SET", "large", &"x".repeat(24 << 20)]), "OK");
        assert_eq!(client.call(&["WAIT", "1", "30000"]), "1");
        for _ in 0..5 {
            self.ledger.write(&mut client, 1, PATIENCE).unwrap();
        }
        assert_eq!(client.call(&["WAIT", "2", "50"]), "1", "only one has it");
    }

    /// Every acknowledged write is on the published master.
    pub(crate) fn assert_nothing_lost(&self) {
        let mut client = self.application(self.master());
        let (missing, all) = self.ledger.missing(&mut client);
        assert!(missing.is_empty(), "lost of {all} acknowledged writes: {missing:?}");
        assert!(all > 0, "nothing was acknowledged, so nothing was checked");
    }
}
