//! Events: one sentence for people per change, on the resource itself. Best effort, never in the way of anything.

use crate::error::within;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something changed, as it should.
    Normal,
    /// Somebody may have to do something.
    Warning,
}

/// Tells people what happens. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<(Event, ObjectReference)>,
}

/// More events than this waiting means that nobody could read them anyway.
const QUEUE: usize = 256;
/// The API server refuses longer notes, in bytes.
const MAX_NOTE: usize = 1_024;

impl Events {
    /// Sends in a task of its own, one event after the other, each with `limit`. The task ends with the last clone.
    pub fn start(client: Client, pod: &str, limit: Duration) -> Self {
        let reporter = Reporter {
            controller: names::MANAGED_BY.to_owned(),
            instance: Some(pod.to_owned()),
        };
        let (queue, mut waiting) = mpsc::channel::<(Event, ObjectReference)>(QUEUE);
        tokio::spawn(async move {
            let mut series = Series(HashMap::new());
            while let Some((event, about)) = waiting.recv().await {
                let recorder = series.of(&event, &about, Instant::now(), || {
                    Recorder::new(client.clone(), reporter.clone())
                });
                let sent = within(limit, "send an event", recorder.publish(&event, &about)).await;
                if let Err(error) = sent {
                    tracing::debug!(%error, reason = event.reason, "event lost");
                }
            }
        });
        Self { queue }
    }

    /// Says something about a resource. Returns at once; an event that cannot be sent is lost.
    pub fn tell(&self, redis: &Redis, kind: Kind, reason: &str, action: &str, note: impl Into<String>) {
        let event = Event {
            type_: match kind {
                Kind::Normal => EventType::Normal,
                Kind::Warning => EventType::Warning,
            },
            reason: reason.to_owned(),
            note: Some(shortened(note.into())),
            action: action.to_owned(),
            secondary: None,
        };
        if self.queue.try_send((event, redis.object_ref(&()))).is_err() {
            tracing::debug!(reason, "event lost: too many are waiting");
        }
    }
}

/// A recorder counts events of one reason as one, and keeps the note of the first: so each note has another recorder.
struct Series<R>(HashMap<(Option<String>, String), Told<R>>);

/// What was told last for one reason.
struct Told<R> {
    note: Option<String>,
    recorder: R,
    at: Instant,
}

/// A recorder of kube forgets an event that was not told again for six minutes, and a forgotten one needs no recorder.
const REMEMBERED: Duration = Duration::from_mins(6);

impl<R: Clone> Series<R> {
    fn of(&mut self, event: &Event, about: &ObjectReference, at: Instant, new: impl FnOnce() -> R) -> R {
        self.0.retain(|_, told| at.duration_since(told.at) < REMEMBERED);
        let key = (about.uid.clone(), event.reason.clone());
        let known = self.0.remove(&key).filter(|told| told.note == event.note);
        let recorder = known.map_or_else(new, |told| told.recorder);
        let told = Told {
            note: event.note.clone(),
            recorder: recorder.clone(),
            at,
        };
        self.0.insert(key, told);
        recorder
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > MAX_NOTE {
        note.truncate(note.floor_char_boundary(MAX_NOTE - '…'.len_utf8()));
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_note_has_its_recorder_for_as_long_as_kube_counts_it() {
        let begin = Instant::now();
        let about = ObjectReference::default();
        let mut made = 0;
        let mut series = Series(HashMap::new());
        let mut told = |note: &str, after: Duration| {
            let event = Event {
                type_: EventType::Normal,
                reason: "Failover".to_owned(),
                note: Some(note.to_owned()),
                action: "Promote".to_owned(),
                secondary: None,
            };
            let recorder = series.of(&event, &about, begin + after, || {
                made += 1;
                made
            });
            (recorder, series.0.len())
        };
        assert_eq!(told("first", Duration::ZERO), (1, 1));
        assert_eq!(told("first", REMEMBERED / 2), (1, 1));
        assert_eq!(told("second", REMEMBERED / 2), (2, 1));
        assert_eq!(told("second", REMEMBERED * 2), (3, 1));
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shortened("short".to_owned()), "short");
        let cut = shortened("ä".repeat(MAX_NOTE));
        assert!(cut.len() <= MAX_NOTE && cut.ends_with("ä…"), "{}", cut.len());
    }
}
