//! What is explored: how the world begins, what may go wrong in it, and which rules are taken out.

use redis_operator_core::observed::Policy;
use redis_operator_core::rule::Rule as CoreRule;

/// A rule of the shell that can be taken out, to see that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Predecessors are cut off when a connection is attached.
    CutPredecessors,
    /// The record is read after the connection was opened.
    ReadFirst,
    /// A process starts as nobody's master.
    Fenced,
    /// The record is written with the seq that was read.
    Record,
    /// A replica attaches as a user of its own, which its master has to know.
    Users,
    /// The slice is written with the version that was read.
    Slice,
    /// The record is read again where the slice is missing or not settled: a successor writes the record first.
    SliceTells,
    /// Pods are deleted with the version that was seen.
    Delete,
    /// A publication to which nobody answered leaves the slice in doubt.
    Doubt,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process ends; it restarts empty.
    Crash,
    /// A process ends; it restarts with its data.
    CrashKeeping,
    /// A process stops, and may go on later.
    Hang,
    /// The network is cut, in one of several ways.
    Cut,
    /// A pod object is deleted by force; its process lives on.
    Force,
    /// Somebody sends REPLICAOF NO ONE to a replica.
    Hand,
    /// The operator process ends and another one leads.
    Operator,
}

/// How the world begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Everybody is full and nothing is left to do.
    Steady,
    /// Two instances are steady, and the user wants a third.
    Joining,
    /// Three instances are steady, and the user wants two.
    Leaving,
    /// Everybody is full, and the user asks for other pods.
    Rolling,
    /// The same, and the user takes that back and asks for another master.
    TakingBack,
    /// Everybody is full, and the user asks for another master.
    Asking,
    /// Everybody is full, and somebody has just sent REPLICAOF NO ONE to a replica.
    ByHand,
    /// The same after a write that nobody had received, and another replica was told to follow that one.
    ByHandFollowed,
    /// Nothing was ever there: the first start.
    First,
}

/// One exploration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name.
    pub name: &'static str,
    /// How the world begins.
    pub beginning: Beginning,
    /// Pods in the beginning, or while the user wants another number the larger one: three or four.
    pub pods: u8,
    /// How many faults.
    pub faults: u8,
    /// Which.
    pub kinds: &'static [Fault],
    /// How often the lease changes hands while the former leader is still about to act.
    pub sessions: u8,
    /// One publication of the leader may be held up on its way: nobody answers, and it arrives later.
    pub held_up: bool,
    /// The former leader may still begin passes.
    pub late_passes: bool,
    /// Clients' writes.
    pub writes: u8,
    /// By how many milliseconds time passes in one action.
    pub ticks: &'static [u64],
    /// Time passes only while the leader is not about to act; else it may stop there for as long as it likes.
    pub prompt: bool,
    /// The cuts that are tried, by their number.
    pub cuts: &'static [u8],
    /// Pods' statuses may lag behind.
    pub lags: bool,
    /// The policy.
    pub policy: Policy,
    /// Rules of the shell that are taken out.
    pub without: &'static [Rule],
    /// The rule of the core that is taken out.
    pub core: Option<CoreRule>,
    /// From every state without a further fault something must lead to quiescence.
    pub live: bool,
    /// Chance goes deep, in place of everything breadth first.
    pub walks: bool,
    /// It takes seconds.
    pub small: bool,
    /// It must hold; else a counterexample must be found.
    pub holds: bool,
    /// Nothing wrong within the limits is enough: nobody sees the end of it.
    pub broad: bool,
}

impl Config {
    /// This rule is taken out.
    pub fn out(&self, rule: Rule) -> bool {
        self.without.contains(&rule)
    }

    /// The rules taken out, as bits.
    pub fn mask(&self) -> u32 {
        let core = self.core.map_or(0, |rule| 1 << (16 + rule as u32));
        self.without.iter().fold(core, |mask, rule| mask | 1 << (*rule as u32))
    }

    /// Takes its rule out of the core, or all of them back in.
    ///
    /// # Errors
    /// This program was built without a way to do that.
    #[cfg_attr(
        not(feature = "rules-out"),
        allow(clippy::missing_const_for_fn, reason = "the feature decides")
    )]
    pub fn take_out(&self) -> Result<(), String> {
        #[cfg(feature = "rules-out")]
        redis_operator_core::rule::take_out(self.core);
        #[cfg(not(feature = "rules-out"))]
        if let Some(rule) = self.core {
            return Err(format!("to take {rule:?} out, build with --features rules-out"));
        }
        Ok(())
    }

    /// Somebody promotes a replica in the beginning: no promise for plain writes then.
    pub const fn is_by_hand(&self) -> bool {
        matches!(self.beginning, Beginning::ByHand | Beginning::ByHandFollowed)
    }

    /// The master that the user asks for, if at all.
    pub const fn wish(&self) -> &'static str {
        match self.beginning {
            Beginning::TakingBack => "redis-a-2", // which is rolled first
            _ => "any",
        }
    }

    /// What it is, in words.
    pub fn about(&self) -> String {
        format!(
            "{:?}, {} of {:?}, {} late operators,{} {} writes, {:?}{}",
            self.beginning,
            self.faults,
            self.kinds,
            self.sessions,
            if self.held_up { " a publication held up," } else { "" },
            self.writes,
            self.policy,
            if self.live { ", live" } else { "" }
        )
    }

    /// The smallest one.
    pub const fn steady() -> Self {
        Self {
            name: "steady",
            beginning: Beginning::Steady,
            pods: 3,
            faults: 1,
            kinds: &[Fault::Crash, Fault::CrashKeeping],
            sessions: 0,
            held_up: false,
            late_passes: false,
            writes: 2,
            ticks: &[6_100, 100_000],
            prompt: true,
            lags: true,
            cuts: &[0, 1, 4, 5, 6, 7, 9, 10],
            policy: Policy::Availability,
            without: &[],
            core: None,
            live: true,
            walks: false,
            small: true,
            holds: true,
            broad: false,
        }
    }
}
