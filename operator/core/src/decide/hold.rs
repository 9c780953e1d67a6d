//! Taking the record over, and making a predecessor's late publication conflict.

use super::{Aside, Say, View};
use crate::plan::Step;

/// A new leader first writes itself as holder: same term, seq + 1. Whoever is not holder does nothing more.
pub(super) fn take_over(view: &View, _: &mut Aside) -> Say {
    if view.record.holder == view.seen.holder {
        return None;
    }
    let mut next = view.next();
    next.holder.clone_from(&view.seen.holder);
    Some((vec![Step::Record(next)], "take the record over"))
}

/// The slice carries this holder before anything else is done, so that a publication still on its way conflicts.
pub(super) fn touch_slice(view: &View, _: &mut Aside) -> Say {
    let touched = view
        .seen
        .slice
        .as_ref()
        .is_some_and(|slice| slice.holder == view.seen.holder);
    (!touched).then(|| (vec![Step::TouchSlice], "touch the slice"))
}
