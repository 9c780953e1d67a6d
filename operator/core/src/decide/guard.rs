//! G, the write guard on the server, and E, the quorum in the record. E ≤ G at every moment.

use super::view::Living;
use super::{Aside, Master, Say, View};
use crate::plan::Step;
use crate::record::{Record, Stage};
use crate::rule::{self, Rule};
use std::time::Duration;

/// How soon the members' progress is looked at again.
const SOON: Duration = Duration::from_millis(10);

/// Half of the full members, rounded up. Counting joining ones would refuse writes during a full sync. None where one alone
/// is wanted: what a second one confirmed, while there happened to be one, would soon be on a single instance again.
pub(crate) fn target(view: &View, record: &Record) -> u32 {
    if view.seen.desired.replicas <= 1 {
        return 0;
    }
    let full = record.at(Stage::Full).count();
    u32::try_from(full.div_ceil(2)).unwrap_or(u32::MAX)
}

/// E and G are what they are to be: nothing about them is under way.
pub(super) fn is_settled(view: &View, master: Living) -> bool {
    view.record.quorum == target(view, view.record) && master.answer.guard == view.record.quorum
}

/// How old a replica's acknowledgement may be, in seconds. With a single member a delayed one would stop all writes.
pub(super) fn lag(view: &View) -> u32 {
    if view.record.size() == 1 { 2 } else { 1 }
}

/// Only the way down, for a member that is about to be cut off: while G still counted it, clients would be refused.
pub(super) fn lower(view: &View, master: Living) -> Say {
    let target = target(view, view.record);
    if view.record.quorum > target {
        return Some((record(view, target), "lower the quorum"));
    }
    if master.answer.guard > target {
        return Some((vec![set(view, master, target)?], "lower the write guard"));
    }
    None
}

fn record(view: &View, quorum: u32) -> Vec<Step> {
    let mut next = view.next();
    next.quorum = quorum;
    vec![Step::Record(next)]
}

fn set(view: &View, master: Living, replicas: u32) -> Option<Step> {
    Some(Step::Guard {
        on: master.instance.process()?,
        replicas,
        lag: lag(view),
    })
}

/// Would a higher G refuse every write, for the master does not count its replicas yet? One in full sync has its copy up to
/// 100 ms earlier: the master notices in `serverCron` that its child has ended. What the record promises is set all the same.
fn would_refuse(view: &View, master: Living, target: u32) -> bool {
    let guard = master.answer.guard;
    view.record.quorum <= guard && guard < target && master.answer.replication.online < target
}

/// Down: E in the record, then G on the server. Up: G on the server once the master counts that many replicas, so that no
/// write is refused; then, when that many members have what the master had after it took effect, E in the record.
pub(super) fn guard(view: &View, aside: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    let target = target(view, view.record);
    if let Some(lower) = lower(view, master) {
        return Some(lower);
    }
    if view.record.quorum < target && !rule::on(Rule::GuardFirst) {
        return Some((record(view, target), "raise the quorum"));
    }
    if would_refuse(view, master, target) {
        aside.wake(SOON);
        return None;
    }
    if (master.answer.guard, master.answer.guard_lag) != (target, lag(view)) {
        return Some((vec![set(view, master, target)?], "set the write guard"));
    }
    if view.record.quorum == target {
        return None;
    }
    if view.caught_up(master) < target && rule::on(Rule::Caught) {
        aside.wake(SOON);
        return None;
    }
    Some((record(view, target), "raise the quorum"))
}
