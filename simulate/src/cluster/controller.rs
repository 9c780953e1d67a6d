//! The StatefulSet's controller, and the garbage collector.

use super::kubelet::PodState;
use super::{api::NAME, objects};
use crate::event::Event;
use crate::world::{World, text};
use redis_operator_core::names;

impl World {
    /// Something changed that the controller looks at.
    pub fn ask_controller(&mut self) {
        let pause = self.random.between(10_000, 400_000);
        self.schedule(self.now + pause, Event::Controller);
    }

    /// Missing pods are created, the surplus one with the highest ordinal is deleted.
    pub fn control(&mut self) {
        if self.api.away.is_some() {
            self.schedule(self.now + 1_000_000, Event::Controller);
            return;
        }
        let Some(replicas) = self.api.set.as_ref().and_then(|set| set.spec.as_ref()?.replicas) else {
            return;
        };
        for ordinal in 0..replicas {
            let name = names::pod(NAME, ordinal);
            if !self.api.pods.contains_key(&name) {
                self.create_pod(name, ordinal as u32);
            }
        }
        let surplus = |name: &&String| names::ordinal(name, NAME).is_some_and(|ordinal| ordinal >= replicas);
        let all: Vec<_> = self.api.pods.keys().filter(surplus).cloned().collect();
        for name in all {
            let going = self
                .api
                .pods
                .get(&name)
                .is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
            if !going {
                self.delete_pod(&name);
            }
        }
    }

    fn create_pod(&mut self, name: String, ordinal: u32) {
        let nodes = self.api.nodes.len() as u32;
        let wish = (0..nodes)
            .map(|n| ((ordinal + n) % nodes) as u8)
            .find(|node| self.is_up(*node) && self.is_schedulable(*node));
        let Some(node) = wish else {
            self.schedule(self.now + 1_000_000, Event::Controller);
            return;
        };
        let number = self.pods.len() as u32;
        let begins = self.now + self.random.between(200_000, 1_500_000);
        let set = self.api.set.as_ref().and_then(|set| set.status.as_ref());
        let spec = set
            .and_then(|status| status.update_revision.clone())
            .unwrap_or_default();
        let mut state = PodState::new(number, name, ordinal, node, begins);
        state.container.broken = objects::spec_of(&spec).is_some_and(|spec| self.api.broken.contains(&spec));
        self.pods.push(state);
        self.put_pod(objects::pod(number, ordinal, node, &spec));
        self.schedule(begins, Event::Kubelet(number));
    }

    fn is_schedulable(&self, node: u8) -> bool {
        !self.nodes[usize::from(node)].kubelet_silent && !self.api.cordoned.contains(&node)
    }

    /// A pod object is gone, and so is what it owned.
    pub fn collect(&mut self, number: u32) {
        if self.api.away.is_some() {
            self.schedule(self.now + 1_000_000, Event::Collect(number));
            return;
        }
        let owned = self.api.slice.as_deref().and_then(objects::owning_pod) == Some(number);
        let exists = self.pods.get(number as usize).is_some_and(|pod| {
            self.api
                .pods
                .get(&pod.name)
                .is_some_and(|it| it.metadata.uid == Some(text::uid(number)))
        });
        if owned && !exists {
            self.log(|| "the slice is collected with its pod".to_owned());
            self.set_slice(None);
        }
    }

    /// A kubelet renews its Lease, if it can.
    pub fn renew(&mut self, node: u8) {
        self.schedule(self.now + 10_000_000, Event::Renew(node));
        if self.is_up(node) && !self.nodes[usize::from(node)].kubelet_silent && self.api.away.is_none() {
            let now = jiff::Timestamp::from_microsecond(self.wall(node)).unwrap_or_default();
            self.api.renewed[usize::from(node)] = now;
        }
    }
}
