//! Worlds to begin with, brought about by the operator itself.

use crate::canon::{Doc, SEQ, TERM};
use crate::check;
use crate::config::{Beginning, Config};
use crate::world::{Action, Gone, PODS, Published, SLOTS, Slot, World};
use std::sync::Arc;

/// The world with which an exploration begins.
///
/// # Errors
/// Left to itself, it does not come to rest.
pub fn world(config: &Config) -> Result<World, String> {
    let first = config.beginning == Beginning::First;
    let joins = config.beginning == Beginning::Joining;
    let wanted = if joins { config.pods - 1 } else { config.pods };
    let mut world = World {
        slots: std::array::from_fn(|i| Arc::new(Slot::none(u8::try_from(i % PODS).unwrap_or(0)))),
        record: None,
        slice: Published::default(),
        held_up: None,
        may_hold_up: config.held_up,
        wanted,
        spec: 0,
        asked: false,
        set_holder: 0,
        ops: [None, None],
        leader: 0,
        cut: Default::default(),
        ways: Default::default(),
        gone: [Gone::default(); 2],
        now: 1_000_000_000,
        writes: 0,
        plain: 0,
        waited: 0,
        faults: 0,
        sessions: 0,
        drawn: 0,
        broken: None,
    };
    let calm = Config {
        faults: 0,
        writes: 0,
        sessions: 0,
        held_up: false,
        beginning: Beginning::Steady,
        without: &[],
        core: None,
        ..config.clone()
    };
    world.lead(0);
    for i in 0..usize::from(wanted) {
        world.create(i, &calm);
    }
    if first {
        return Ok(world);
    }
    calm.take_out()?;
    rest(&mut world, &calm)?;
    let master = (0..SLOTS).find(|i| world.can_write(*i)).ok_or("nobody takes writes")?;
    world.act(Action::Write(u8::try_from(master).unwrap_or(0)), &calm);
    rest(&mut world, &calm)?;
    enlarge(&mut world);
    world.act(Action::Tick(100_000), &calm);
    rest(&mut world, &calm)?;
    let mut replicas = (0..usize::from(config.pods)).filter(|i| *i != master);
    let (one, other) = (replicas.next(), replicas.next());
    if let Some(one) = one.filter(|_| config.is_by_hand()) {
        if config.beginning == Beginning::ByHandFollowed {
            world.act(Action::Write(u8::try_from(master).unwrap_or(0)), &calm); // which nobody received
        }
        world.act(Action::Hand(u8::try_from(one).unwrap_or(0)), &calm);
        world.faults = 0; // of those that happen later
        let other = other.filter(|_| config.beginning == Beginning::ByHandFollowed);
        other
            .into_iter()
            .for_each(|other| world.follow(other, world.slots[one].uid));
    }
    Ok(world)
}

/// Everything that can go on goes on, until nothing is left to do.
///
/// # Errors
/// It does not come to rest.
pub fn rest(world: &mut World, calm: &Config) -> Result<(), String> {
    for round in 0..2_000 {
        let before = world.fingerprint(calm);
        let all = world.actions(calm);
        for action in all
            .iter()
            .filter(|it| it.is_progress() && !matches!(it, Action::Tick(_)))
        {
            if world.actions(calm).contains(action) {
                world.act(*action, calm);
            }
        }
        if let Some(what) = check::wrong(world, true) {
            return Err(what);
        }
        if world.fingerprint(calm) != before {
            continue;
        }
        if check::is_quiet(world) {
            return Ok(());
        }
        world.act(Action::Tick(if round % 2 == 0 { 3_100 } else { 100_000 }), calm);
    }
    Err(format!("it does not come to rest: {:#?}", world.recorded()))
}

/// Seqs and terms become so large that they are known wherever they stand.
fn enlarge(world: &mut World) {
    let Some(record) = world.recorded() else { return };
    let mut record = record.clone();
    record.seq += SEQ;
    record.term += TERM;
    let doc = Doc::new(record);
    for op in world.ops.iter_mut().flatten() {
        op.known = Some(Arc::clone(&doc));
        op.memory = Doc::new(Default::default());
    }
    world.record = Some(doc);
}
