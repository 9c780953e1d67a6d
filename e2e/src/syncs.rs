//! How often replicas had to begin from nothing, and how often what they had missed was enough.
//!
//! The servers count that themselves, each for its own replicas and for as long as it lives. So they are asked again and
//! again: what one counted in its last quarter of a second is missing, which is nothing in a planned change, where a
//! master has handed over long before its process ends.

use crate::pod::address;
use crate::resp::{Connection, Reply, info_field};
use crate::subject::Subject;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::{Add, Sub};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

/// How often each server is asked.
const LOOK: Duration = Duration::from_millis(250);

/// How often something was synchronised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// From nothing.
    pub full: u64,
    /// By what was missed.
    pub partial: u64,
    /// What was missed was asked for, and not there any more.
    pub refused: u64,
}

/// Asks the servers of one resource until it is stopped.
pub struct Syncs {
    subject: Subject,
    counted: Counted,
    task: JoinHandle<()>,
}

/// Each process' first and last answer, by run id.
type Counted = Arc<Mutex<BTreeMap<String, (Synced, Synced)>>>;

impl Syncs {
    /// Begins; what was counted before is left out.
    pub async fn start(subject: &Subject) -> Result<Self> {
        let counted = Counted::default();
        for (run_id, synced) in asked(subject).await? {
            lock(&counted).insert(run_id, (synced, synced));
        }
        let (asking, taking) = (subject.clone(), Arc::clone(&counted));
        let task = tokio::spawn(async move {
            loop {
                sleep(LOOK).await;
                // whoever does not answer is asked again
                take(&taking, asked(&asking).await.unwrap_or_default());
            }
        });
        Ok(Self {
            subject: subject.clone(),
            counted,
            task,
        })
    }

    /// Asks a last time; all that happened since the start.
    pub async fn stop(self) -> Result<Synced> {
        self.task.abort();
        take(&self.counted, asked(&self.subject).await?);
        let counted = lock(&self.counted);
        Ok(sum(&counted))
    }
}

impl Drop for Syncs {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(counted: &Counted, answers: Vec<(String, Synced)>) {
    let mut counted = lock(counted);
    for (run_id, synced) in answers {
        counted.entry(run_id).or_default().1 = synced;
    }
}

fn sum(counted: &BTreeMap<String, (Synced, Synced)>) -> Synced {
    let grown = counted.values().map(|(first, last)| *last - *first);
    grown.fold(Synced::default(), Add::add)
}

/// What every server that answers has counted so far.
async fn asked(subject: &Subject) -> Result<Vec<(String, Synced)>> {
    let pods = subject.pods().await?;
    // the connection blocks
    Ok(spawn_blocking(move || pods.iter().filter_map(|pod| ask(pod).ok()).collect()).await?)
}

fn ask(pod: &Pod) -> Result<(String, Synced)> {
    let mut connection = Connection::open(address(pod)?, None)?;
    let Reply::Text(info) = connection.call(&["INFO"])? else {
        anyhow::bail!("INFO is no text");
    };
    read(&info)
}

fn read(info: &str) -> Result<(String, Synced)> {
    let field = |name: &str| info_field(info, name).with_context(|| format!("no {name} in INFO"));
    Ok((
        field("run_id")?,
        Synced {
            full: field("sync_full")?.parse()?,
            partial: field("sync_partial_ok")?.parse()?,
            refused: field("sync_partial_err")?.parse()?,
        },
    ))
}

impl Add for Synced {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            full: self.full.saturating_add(other.full),
            partial: self.partial.saturating_add(other.partial),
            refused: self.refused.saturating_add(other.refused),
        }
    }
}

impl Sub for Synced {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            full: self.full.saturating_sub(other.full),
            partial: self.partial.saturating_sub(other.partial),
            refused: self.refused.saturating_sub(other.refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced(full: u64, partial: u64, refused: u64) -> Synced {
        Synced { full, partial, refused }
    }

    #[test]
    fn info_is_read() {
        let info = "# Server\r\nrun_id:abc\r\n# Stats\r\nsync_full:3\r\nsync_partial_ok:2\r\nsync_partial_err:1\r\n";
        assert_eq!(read(info).unwrap(), ("abc".to_owned(), synced(3, 2, 1)));
        assert!(read("run_id:abc\r\n").is_err());
    }

    #[test]
    fn only_what_is_new_is_counted_and_nobody_is_forgotten() {
        let counted = Counted::default();
        lock(&counted).insert("old".to_owned(), (synced(2, 5, 1), synced(2, 5, 1)));
        take(&counted, vec![("old".to_owned(), synced(3, 5, 1))]);
        take(&counted, vec![("new".to_owned(), synced(1, 1, 0))]);
        take(&counted, vec![("new".to_owned(), synced(1, 2, 0))]);
        assert_eq!(sum(&lock(&counted)), synced(2, 2, 0));
    }
}
