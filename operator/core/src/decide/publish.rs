//! The slice names the recorded master, whenever that serves.

use super::{Aside, Master, Say, View, adopt};
use crate::plan::Step;
use crate::record::Phase;

/// Publishes the serving master if the slice does not name it at its address. Missing slices and changed addresses
/// are as urgent as a new master. Not one that is about to be replaced: clients would be led back to it for a moment.
pub(super) fn publish(view: &View, _: &mut Aside) -> Say {
    let master = view.master();
    let Master::Serves(living) = master else {
        return None;
    };
    if view.record.phase != Phase::Steady || !living.instance.attached || adopt::is_next(view, &master) {
        return None;
    }
    let slice = view.seen.slice.as_ref();
    let named = slice.is_some_and(|slice| {
        slice.target.as_ref() == Some(&living.instance.uid) && slice.address.as_ref() == Some(&living.instance.address)
    });
    if named {
        return None;
    }
    Some((vec![Step::Publish(living.instance.process()?)], "publish the master"))
}

/// The master serves, and clients are led to another process.
pub(super) fn names_another(view: &View) -> bool {
    let Master::Serves(living) = view.master() else {
        return false;
    };
    let slice = view.seen.slice.as_ref();
    slice.is_some_and(|slice| slice.target.as_ref() != Some(&living.instance.uid))
}
