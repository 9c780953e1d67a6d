//! What goes wrong in a run, drawn from its seed.

use crate::random::Random;
use crate::settings::{Class, Settings};
use crate::world::Time;
use redis_operator_core::observed::{Paused, Policy};

/// Which instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The recorded master's.
    Master,
    /// One of the others.
    Replica(u32),
}

/// In which direction a path is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Both.
    Both,
    /// What it sends does not arrive.
    Out,
    /// Nothing arrives at it.
    In,
}

/// Something that goes wrong, or that somebody does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL.
    Kill(Target),
    /// SIGSTOP.
    Hang(Target),
    /// A long script.
    Script(Target),
    /// The replication links of an instance are closed: output buffer, CLIENT KILL.
    DropLinks(Target),
    /// BGSAVE.
    Save(Target),
    /// The instance is cut off from everybody.
    Isolate(Target, Way),
    /// The instance is cut off from operators and other instances, while clients reach it.
    Split(Target, Way),
    /// An operator is cut off from an instance; rejected or ignored.
    CutOperator(u8, Target, Way, bool),
    /// Two instances are cut off from each other.
    CutPair(Target, Target, Way),
    /// The cable of a node.
    CutNode(u8),
    /// The power of a node.
    NodeDown(u8),
    /// Its kubelet stands still.
    KubeletSilent(u8),
    /// A node's wall clock jumps by so many seconds.
    Clock(u8, i64),
    /// An operator process ends.
    KillOperator(u8),
    /// It stands still.
    PauseOperator(u8),
    /// It cannot reach the API server.
    CutApi(u8),
    /// Its watches are dead.
    Deaf(u8),
    /// It takes the lease of the other one.
    Usurp(u8),
    /// The API server is away; it refuses, or is silent.
    ApiAway(bool),
    /// A pod is deleted.
    DeletePod(Target),
    /// By force.
    ForceDelete(Target),
    /// All pods are deleted.
    DeleteAll,
    /// All processes end.
    KillAll,
    /// So many are wanted.
    Scale(u32),
    /// The spec asks for other pods.
    Roll,
    /// The spec asks for pods that cannot start, for a while.
    RollBroken,
    /// A person asks for a switchover, and takes that back after a while.
    Ask,
    /// A node is cordoned, for a while.
    Cordon(u8),
    /// A person asks for a restart of every server.
    Restart,
    /// A person pauses everything, or what is planned, for a while.
    Pause(Paused),
    /// The policy changes.
    SetPolicy(Policy),
    /// `downAfter` changes, in milliseconds.
    SetDownAfter(u64),
    /// The record is removed by hand.
    LoseRecord,
    /// The record of the term before is put back: a restored backup.
    OldRecord,
    /// A failover by hand: REPLICAOF NO ONE, the others follow or not.
    ByHand(Target, bool),
    /// The end of a hang or script of a process.
    Resume(usize),
    /// The end of a cut.
    Heal(u32),
    /// The node has power again.
    NodeUp(u8),
    /// The kubelet goes on.
    KubeletBack(u8),
    /// An operator goes on.
    ResumeOperator(u8),
    /// It reaches the API server.
    HealApi(u8),
    /// The API server is back.
    ApiBack,
    /// The spec is what it was before.
    RollBack(u32),
    /// Pods may come again.
    Uncordon(u8),
    /// Nothing is asked for any more.
    TakeBack,
    /// The pause is over.
    GoOn,
}

impl Action {
    /// Its name without what it is about.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    }
}

/// A fault: how long after the one before, what, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Time since the one before, or since health.
    pub after: Time,
    /// All has to be well first.
    pub waits: bool,
    /// What.
    pub action: Action,
    /// How long, if it ends by itself.
    pub lasts: Time,
    /// After that time it comes with the next of these, if there is one soon: between any two of them lie a few
    /// milliseconds that chance alone would seldom find.
    pub moment: Option<Moment>,
}

/// Something that happens in every run, beside which a fault may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A server runs a verb of an operator.
    Called,
    /// The record was written.
    Recorded,
    /// The slice was written.
    Published,
    /// A client was told that replicas have its write.
    Waited,
    /// A full sync begins.
    Synced,
}

impl Fault {
    fn draw(random: &mut Random, after: Time, waits: bool, action: Action) -> Self {
        let lasts = length(random);
        let moment = random.chance(500).then(|| {
            random.pick(&[
                Moment::Called,
                Moment::Called,
                Moment::Recorded,
                Moment::Recorded,
                Moment::Published,
                Moment::Waited,
                Moment::Synced,
            ])
        });
        Self {
            after,
            waits,
            action,
            lasts,
            moment,
        }
    }
}

/// All that goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In this order.
    pub faults: Vec<Fault>,
    /// How many have begun.
    pub begun: usize,
    /// The next one has a time.
    pub armed: bool,
    /// It comes with the next of these, from then on.
    pub beside: Option<(Moment, Time)>,
    /// Ends that are still to come.
    pub open: usize,
    /// The first one does not wait for the first health.
    pub early: bool,
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64, settings: &Settings) -> Self {
        let random = &mut Random::new(seed ^ 0xfa17);
        let mut plan = Self::default();
        match settings.class {
            Class::Planned => {
                for _ in 0..random.between(1, 4) {
                    let after = random.below(1_500_000);
                    let action = planned(random, settings.nodes);
                    plan.faults.push(Fault::draw(random, after, true, action));
                }
            }
            Class::Single => {
                for _ in 0..random.between(1, 4) {
                    let mut waits = true;
                    if random.chance(250) {
                        let (after, action) = (random.below(1_000_000), change(random));
                        plan.faults.push(Fault {
                            after,
                            waits,
                            action,
                            lasts: 0,
                            moment: None,
                        });
                        waits = false;
                    }
                    let after = random.below(if waits { 1_500_000 } else { 3_000_000 });
                    let action = single(random, settings.nodes);
                    plan.faults.push(Fault::draw(random, after, waits, action));
                }
            }
            Class::Chaos => {
                plan.early = random.chance(150);
                for n in 0..random.between(2, 9) {
                    let action = if random.chance(120) {
                        change(random)
                    } else {
                        chaos(random, settings.nodes)
                    };
                    let after = random.pick(&[0, 1_000, 30_000, 300_000, 1_000_000, 3_000_000]);
                    let after = random.below(after + 1);
                    let waits = n == 0 && !plan.early;
                    plan.faults.push(Fault::draw(random, after, waits, action));
                }
            }
        }
        plan
    }
}

fn length(random: &mut Random) -> Time {
    let most = random.pick(&[30_000, 300_000, 1_000_000, 3_000_000, 8_000_000, 20_000_000]);
    random.between(1_000, most)
}

fn target(random: &mut Random) -> Target {
    if random.chance(600) {
        Target::Master
    } else {
        Target::Replica(random.below(4) as u32)
    }
}

fn way(random: &mut Random) -> Way {
    random.pick(&[Way::Both, Way::Both, Way::Out, Way::In])
}

/// What the user asks for.
fn change(random: &mut Random) -> Action {
    match random.below(8) {
        7 => Action::Restart,
        0 | 1 => Action::Scale(random.between(2, 6) as u32),
        2 | 3 => Action::Roll,
        4 => Action::RollBroken,
        5 => Action::SetPolicy(random.pick(&[Policy::Availability, Policy::Durability])),
        _ => Action::SetDownAfter(random.pick(&[500, 1000, 2000])),
    }
}

fn pause(random: &mut Random) -> Action {
    Action::Pause(random.pick(&[Paused::Planned, Paused::All]))
}

/// What somebody does to a healthy set.
fn planned(random: &mut Random, nodes: u8) -> Action {
    match random.below(8) {
        7 => pause(random),
        0 => Action::DeletePod(target(random)),
        6 => Action::Ask,
        1 => Action::Cordon(random.below(u64::from(nodes)) as u8),
        _ => change(random),
    }
}

/// One failure.
fn single(random: &mut Random, nodes: u8) -> Action {
    let target = target(random);
    let (node, operator) = (random.below(u64::from(nodes.min(4))) as u8, random.below(2) as u8);
    match random.below(20) {
        0..=2 => Action::Kill(target),
        3 | 4 => Action::Hang(target),
        5 => Action::Script(target),
        6 => Action::DropLinks(target),
        7 if random.chance(500) => Action::Split(target, way(random)),
        7 => Action::Isolate(target, way(random)),
        8 => Action::CutOperator(operator, target, way(random), random.chance(500)),
        9 => Action::CutPair(Target::Master, Target::Replica(random.below(4) as u32), way(random)),
        10 => Action::CutNode(node),
        11 => Action::NodeDown(node),
        12 => Action::KillOperator(operator),
        13 => Action::PauseOperator(operator),
        14 => Action::ApiAway(random.chance(500)),
        15 => Action::DeletePod(target),
        16 => Action::ForceDelete(target),
        17 => random.pick(&[
            Action::Usurp(operator),
            Action::CutApi(operator),
            Action::Deaf(operator),
        ]),
        18 => Action::Clock(node, random.pick(&[-3600, -5, -1, 1, 3, 30, 3600])),
        _ => random.pick(&[Action::KubeletSilent(node), Action::Save(target)]),
    }
}

/// Anything.
fn chaos(random: &mut Random, nodes: u8) -> Action {
    match random.below(27) {
        0 => Action::KillAll,
        1 => Action::DeleteAll,
        2 => Action::ByHand(target(random), random.chance(500)),
        3 => Action::Usurp(random.below(2) as u8),
        4 => Action::PauseOperator(random.below(2) as u8),
        5 => Action::KillOperator(random.below(2) as u8),
        6 => Action::Deaf(random.below(2) as u8),
        7 => random.pick(&[Action::LoseRecord, Action::OldRecord]),
        8 => pause(random),
        _ => single(random, nodes),
    }
}
