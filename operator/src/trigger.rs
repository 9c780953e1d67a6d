//! Which resources need a pass: one channel from everybody who sees something to the one controller.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::reflector::ObjectRef;
use redis_operator_core::api::Redis;
use std::sync::{Arc, Mutex, PoisonError};

/// Where wakes go. Cheap to clone.
///
/// While nobody leads they go nowhere: whoever begins to lead looks at everything anyway. Unbounded, for a lost wake is
/// a lost failover; the controller drains it at once and keeps one pending pass per resource.
#[derive(Clone, Default)]
pub struct Triggers(Arc<Mutex<Option<UnboundedSender<ObjectRef<Redis>>>>>);

impl Triggers {
    /// Asks for a pass over this resource.
    pub fn wake(&self, redis: ObjectRef<Redis>) {
        if let Some(sender) = self.sender().as_ref() {
            // the receiver was dropped: leadership just ended
            let _ = sender.unbounded_send(redis);
        }
    }

    /// All wakes from now on. The stream of a subscriber before this one ends.
    pub fn subscribe(&self) -> UnboundedReceiver<ObjectRef<Redis>> {
        let (sender, receiver) = unbounded();
        *self.sender() = Some(sender);
        receiver
    }

    fn sender(&self) -> std::sync::MutexGuard<'_, Option<UnboundedSender<ObjectRef<Redis>>>> {
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
}
