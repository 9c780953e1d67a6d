//! Has a member everything that the master had?
//!
//! It is measured against a mark, what the master showed at a moment since when nothing has changed that the measure is
//! taken for. Measured against the master's latest word, one that is always a little behind would never get there as long
//! as clients write.

use super::Master;
use super::view::{Living, View};
use crate::observed::{Answer, Moment};
use crate::record::Stage;
use std::collections::BTreeSet;
use std::time::Duration;

/// A mark that a member has not reached by then says nothing of how far behind it is now.
const TOO_OLD: Duration = Duration::from_secs(5);

/// What the serving master showed at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    asked: Moment,
    offset: u64,
    conditions: Conditions,
}

/// As long as these stay, whatever was true before the mark is true of its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Conditions {
    run_id: String,
    id: String,
    guard: u32,
    users: BTreeSet<String>,
    seq: u64,
}

impl View<'_> {
    /// The mark to measure against in this pass: the one before as long as it holds, else a new one.
    pub fn mark(&self, before: Option<Mark>) -> Option<Mark> {
        let Master::Serves(master) = self.master() else {
            return None;
        };
        let now = self.mark_of(master.answer);
        let fresh = |mark: &Mark| self.seen.now.since(mark.asked) < TOO_OLD;
        Some(
            before
                .filter(|mark| mark.conditions == now.conditions && fresh(mark))
                .unwrap_or(now),
        )
    }

    /// Every member that is linked has reached the mark: the next pass takes a new one.
    pub fn mark_is_reached(&self, mark: &Mark) -> bool {
        let members = self.record.members.values();
        let living = members.filter_map(|member| self.living(&member.process));
        let mut linked = living.filter(|it| is_linked(it.answer));
        linked.all(|it| reaches(it.answer, mark))
    }

    /// How many members that stay had everything that the master had at the mark.
    pub fn caught_up(&self, master: Living) -> u32 {
        let members = self.record.members.values();
        let staying = members.filter(|member| member.stage != Stage::Leaving);
        let living = staying.filter_map(|member| self.living(&member.process));
        u32::try_from(living.filter(|it| self.has_reached(*it, master)).count()).unwrap_or(u32::MAX)
    }

    /// A replica shows all that the master had at the mark. Sound because both are of the recorded history and the shell
    /// asks the master first.
    pub fn has_reached(&self, replica: Living, master: Living) -> bool {
        let now = self.mark_of(master.answer);
        let mark = self.seen.memory.mark.as_ref();
        let mark = mark.filter(|mark| mark.conditions == now.conditions).unwrap_or(&now);
        is_linked(replica.answer) && reaches(replica.answer, mark)
    }

    fn mark_of(&self, master: &Answer) -> Mark {
        Mark {
            asked: master.asked,
            offset: master.replication.offset,
            conditions: Conditions {
                run_id: master.replication.run_id.clone(),
                id: master.replication.id.clone(),
                guard: master.guard,
                users: master.users.clone(),
                seq: self.record.seq,
            },
        }
    }
}

fn is_linked(replica: &Answer) -> bool {
    let r = &replica.replication;
    let upstream = r.upstream.as_ref();
    r.placed && !r.loading && upstream.is_some_and(|upstream| upstream.link_up && !upstream.syncing)
}

fn reaches(replica: &Answer, mark: &Mark) -> bool {
    let r = &replica.replication;
    r.id == mark.conditions.id && r.offset >= mark.offset && replica.asked >= mark.asked
}
