//! Which resources need a pass: one channel from everybody who sees something to the one controller.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::reflector::ObjectRef;
use redis_operator_core::api::Redis;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Where wakes go. Cheap to clone.
///
/// While nobody leads they go nowhere: whoever begins to lead looks at everything anyway. Unbounded, for a lost wake is
/// a lost failover; the controller drains it at once and keeps one pending pass per resource.
#[derive(Clone, Default)]
pub struct Triggers(Arc<Mutex<Listening>>);

/// Who listens.
#[derive(Default)]
struct Listening {
    controller: Option<UnboundedSender<ObjectRef<Redis>>>,
    urgent: HashMap<ObjectRef<Redis>, watch::Sender<()>>,
}

impl Triggers {
    /// Asks for a pass over this resource, after the one that may be under way.
    pub fn wake(&self, redis: ObjectRef<Redis>) {
        if let Some(controller) = self.listening().controller.as_ref() {
            // the receiver was dropped: leadership just ended
            let _ = controller.unbounded_send(redis);
        }
    }

    /// The same, and what may be dropped halfway is dropped: something may have to be decided.
    pub fn urge(&self, redis: ObjectRef<Redis>) {
        if let Some(urgent) = self.listening().urgent.get(&redis) {
            urgent.send_replace(());
        }
        self.wake(redis);
    }

    /// All wakes from now on. The stream of a subscriber before this one ends.
    pub fn subscribe(&self) -> UnboundedReceiver<ObjectRef<Redis>> {
        let (sender, receiver) = unbounded();
        *self.listening() = Listening {
            controller: Some(sender),
            urgent: HashMap::new(),
        };
        receiver
    }

    /// Raised whenever a pass over this resource is urgent: a level, so nothing is lost while a pass runs.
    pub fn urgent(&self, redis: ObjectRef<Redis>) -> watch::Receiver<()> {
        let mut listening = self.listening();
        let urgent = listening.urgent.entry(redis);
        urgent.or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// The resource is gone.
    pub fn forget(&self, redis: &ObjectRef<Redis>) {
        self.listening().urgent.remove(redis);
    }

    fn listening(&self) -> MutexGuard<'_, Listening> {
        // a panic elsewhere cannot leave half a sender behind
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    fn redis(name: &str) -> ObjectRef<Redis> {
        ObjectRef::new(name).within("a")
    }

    #[tokio::test]
    async fn wakes_reach_the_leader_of_the_moment() {
        let triggers = Triggers::default();
        triggers.wake(redis("nobody-leads"));
        let first = triggers.subscribe();
        triggers.wake(redis("one"));
        let mut second = triggers.subscribe();
        triggers.wake(redis("two"));
        assert_eq!(first.collect::<Vec<_>>().await, [redis("one")]);
        assert_eq!(second.next().await, Some(redis("two")));
        drop(second);
        triggers.wake(redis("lost"));
    }

    #[tokio::test]
    async fn what_is_urgent_interrupts_and_wakes() {
        let triggers = Triggers::default();
        let mut wakes = triggers.subscribe();
        let (one, other) = (triggers.urgent(redis("one")), triggers.urgent(redis("other")));
        triggers.wake(redis("one"));
        assert!(!one.has_changed().unwrap());
        triggers.urge(redis("one"));
        assert!(one.has_changed().unwrap() && !other.has_changed().unwrap());
        assert_eq!(wakes.next().await, Some(redis("one")));
        assert_eq!(wakes.next().await, Some(redis("one")));
    }
}
