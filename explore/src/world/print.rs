//! The fingerprint of a world.

use super::operator::{Found, Op};
use super::server::Link;
use super::{PODS, Published, SLOTS, Slot, World};
use crate::canon::{Canon, number};
use crate::config::Config;

pub(super) fn fingerprint(world: &World, config: &Config) -> u64 {
    let mut canon = Canon::new(world.now);
    if let Some(record) = &world.record {
        (canon.seqs[0], canon.terms[0]) = (record.value.seq, record.value.term);
        canon.doc(record);
    }
    for slot in &world.slots {
        print_slot(&mut canon, slot);
    }
    slice(&mut canon, &world.slice);
    canon.word(u64::from(world.may_hold_up));
    if let Some(held_up) = &world.held_up {
        slice(&mut canon, &held_up.slice);
        canon.name('r', number(&held_up.master.run_id));
    }
    canon.name('h', world.set_holder);
    canon.word(
        u64::from(world.asked) << 24
            | u64::from(world.spec) << 16
            | u64::from(world.wanted) << 8
            | u64::from(world.leader),
    );
    for k in 0..2 {
        match &world.ops[k] {
            None => canon.word(7),
            Some(op) => operator(&mut canon, world, k, op, config),
        }
    }
    let mut bits = 0u64;
    for i in 0..SLOTS {
        for j in 0..SLOTS {
            bits = bits << 1 | u64::from(world.cut[i][j]);
        }
    }
    canon.word(bits);
    for way in world.ways.iter().flatten() {
        canon.word(*way as u64);
    }
    for gone in &world.gone {
        canon.name('u', gone.uid);
        canon.name('c', gone.ended);
        canon.word(u64::from(gone.outlived));
        canon.moment(gone.noticed);
    }
    canon.word(u64::from(world.writes) << 48 | u64::from(world.plain) << 16 | u64::from(world.waited));
    canon.word(u64::from(world.faults) << 8 | u64::from(world.sessions));
    canon.word(u64::from(world.broken.is_some()));
    canon.finish()
}

fn slice(canon: &mut Canon, slice: &Published) {
    canon.word(u64::from(slice.exists));
    canon.name('u', slice.target);
    canon.name('h', slice.holder);
    canon.term(slice.term);
    canon.name('v', slice.version);
}

fn print_slot(canon: &mut Canon, slot: &Slot) {
    canon.name('u', slot.uid);
    canon.name('v', slot.version);
    let label = slot.label.map_or(0, str::len);
    canon.word(
        u64::from(slot.spec) << 16
            | (label as u64) << 8
            | u64::from(slot.deleting) << 2
            | u64::from(slot.running) << 1
            | u64::from(slot.published),
    );
    canon.name('c', slot.shown);
    canon.name('c', slot.ended);
    if let Some(disk) = &slot.disk {
        canon.word(disk.data);
        canon.name('i', disk.place.map_or(0, |(id, _)| id));
        canon.word(disk.place.map_or(99, |(_, offset)| u64::from(offset)));
    }
    if let Some(ghost) = &slot.ghost {
        canon.name('r', ghost.run);
        canon.word(ghost.data << 8 | u64::from(ghost.offset));
    }
    let Some(it) = &slot.proc else {
        return canon.word(1);
    };
    canon.name('r', it.run);
    canon.name('c', it.run);
    canon.name('a', it.host);
    match it.link {
        Link::Down(since) => canon.maybe(since),
        Link::Syncing(run) => canon.name('r', run),
        Link::Up(run) => {
            canon.word(17);
            canon.name('r', run);
        }
    }
    canon.maybe(it.stalled);
    canon.name('i', it.id);
    canon.name('i', it.id2);
    let flags = [
        it.hung,
        it.paused,
        it.master,
        it.placed,
        it.backlog,
        it.serves,
        it.promoted,
    ];
    let flags = flags
        .iter()
        .chain(&it.late)
        .fold(0u64, |bits, flag| bits << 1 | u64::from(*flag));
    let bytes = |all: &[u8]| all.iter().fold(0u64, |bits, n| bits << 8 | u64::from(*n));
    canon.word(flags);
    canon.word(bytes(&[it.forked, it.offset, it.guard, it.lag]));
    canon.word(bytes(&it.acks));
    canon.word(it.data);
    canon.word(u64::from(it.quorum) << 16 | u64::from(it.took));
    canon.name('u', it.user);
    canon.names('u', &it.users);
}

fn operator(canon: &mut Canon, world: &World, k: usize, op: &Op, config: &Config) {
    canon.name('h', op.holder);
    if op.slice.version == world.slice.version {
        canon.word(3);
    } else {
        slice(canon, &op.slice);
    }
    for it in &op.connections[..PODS] {
        canon.name('r', it.run);
        canon.word(u64::from(it.attached) << 1 | u64::from(it.read));
    }
    // a former leader that begins no pass any more needs nothing but its plan, and the term that it would write into the slice
    if usize::from(world.leader) != k && !config.late_passes {
        canon.term(op.term());
        return plan(canon, op);
    }
    canon.word(u64::from(op.in_doubt) << 2 | u64::from(op.must_read) << 1 | u64::from(world.is_fresh(k)));
    (canon.seqs[1], canon.terms[1]) = match &op.known {
        Some(doc) if !world.is_fresh(k) => {
            canon.doc(doc);
            (doc.value.seq, doc.value.term)
        }
        _ => (0, 0),
    };
    canon.term(op.slice.term);
    canon.doc(&op.memory);
    for i in 0..PODS {
        match op.found[i] {
            Found::Answered => {
                canon.word(5);
                continue;
            }
            Found::Refused(since) => {
                canon.word(6);
                canon.moment(since);
            }
            Found::Silent(accepts) => canon.word(u64::from(accepts)),
        }
        canon.moment(op.heard[i]);
        canon.name('r', op.last[i].run);
        canon.word(u64::from(op.last[i].guard) << 8 | u64::from(op.last[i].lag));
    }
    plan(canon, op);
}

fn plan(canon: &mut Canon, op: &Op) {
    let Some(held) = &op.plan else {
        return canon.word(11);
    };
    for doc in held.steps.iter().skip(usize::from(held.at)) {
        canon.doc(doc);
    }
}
