//! What was written or read last. A cache that shows something else is either behind, which its resource version tells, or
//! ahead: then the object has to be read again, with a quorum.

use super::store::Shown;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The record and the slice, as far as they are known; what is not has to be read.
pub(super) struct Held<R> {
    record: Option<Known<Option<R>>>,
    slice: Option<Known<Option<Arc<EndpointSlice>>>>,
    /// Nobody answered to the last write of the slice: it may still arrive.
    pub(super) slice_in_doubt: bool,
    pub(super) metrics_port: bool,
    redis_version: Option<String>,
    slice_version: Option<String>,
    /// Pods, by uid, that were touched for the record after the one with this seq, and that nothing was sent to since.
    touched: (u64, BTreeSet<String>),
}

/// A value, and the version that the cache showed when it was learnt: as long as it shows that one, it is behind.
struct Known<T> {
    value: T,
    behind: Option<String>,
}

impl<R> Default for Held<R> {
    fn default() -> Self {
        Self {
            record: None,
            slice: None,
            slice_in_doubt: false,
            metrics_port: false,
            redis_version: None,
            slice_version: None,
            touched: Default::default(),
        }
    }
}

impl<R: Clone + PartialEq> Held<R> {
    /// The record that may be trusted beside what a cache shows.
    pub(super) fn trusted_record(&mut self, shown: Shown<R>) -> Option<Option<R>> {
        self.metrics_port = shown.metrics_port;
        self.redis_version = shown.version;
        let known = self.record.as_ref()?;
        let trusted = known.value == shown.record || known.behind == self.redis_version;
        trusted.then(|| known.value.clone())
    }

    /// The record, whatever a cache shows.
    pub(super) fn record(&self) -> Option<&R> {
        self.record.as_ref()?.value.as_ref()
    }

    /// The record was read or written.
    pub(super) fn learn_record(&mut self, value: Option<R>) {
        let behind = self.redis_version.clone();
        self.record = Some(Known { value, behind });
    }

    /// The slice that may be trusted beside one of this version in a cache.
    pub(super) fn trusted_slice(&mut self, shown: Option<String>) -> Option<Option<Arc<EndpointSlice>>> {
        self.slice_version.clone_from(&shown);
        let known = self.slice.as_mut()?;
        // The cache has caught up: from now on nothing that it shows is behind, its absence least of all.
        if known.value.as_deref().and_then(ResourceExt::resource_version) == shown {
            known.behind.clone_from(&shown);
        }
        // one that the cache has never shown may be gone before it does
        let is_new = shown.is_none() && known.value.is_some();
        (known.behind == shown && !is_new).then(|| known.value.clone())
    }

    /// The slice, whatever a cache shows.
    pub(super) fn slice(&self) -> Option<Arc<EndpointSlice>> {
        self.slice.as_ref()?.value.clone()
    }

    /// The slice was read, while a cache showed this version.
    pub(super) fn learn_slice(&mut self, value: Option<Arc<EndpointSlice>>, behind: Option<String>) {
        self.slice = Some(Known { value, behind });
    }

    /// The slice was written, and nothing else is on its way.
    pub(super) fn wrote_slice(&mut self, slice: Arc<EndpointSlice>) {
        self.slice_in_doubt = false;
        self.learn_slice(Some(slice), self.slice_version.clone());
    }

    /// Whether this pod was touched for the record after the one with this seq.
    pub(super) fn is_touched(&self, seq: u64, uid: &str) -> bool {
        self.touched.0 == seq && self.touched.1.contains(uid)
    }

    /// This pod was touched for the record after the one with this seq.
    pub(super) fn touched(&mut self, seq: u64, uid: &str) {
        if self.touched.0 != seq {
            self.touched = (seq, BTreeSet::new());
        }
        self.touched.1.insert(uid.to_owned());
    }

    /// A deletion of this pod may be on its way.
    pub(super) fn deletes(&mut self, uid: &str) {
        self.touched.1.remove(uid);
    }

    /// Everything has to be read again.
    pub(super) fn forget(&mut self) {
        (self.record, self.slice) = (None, None);
    }
}
