//! A thread runs until it ends or waits for others.

use super::block::{Block, State};
use super::coordinates;
use crate::fault::{Check, bad_kernel};
use crate::memory::Party;
use crate::op::{CONSTANT, Join, Op, Special, Src, UNGUARDED};

/// Registers and constants of a running thread.
pub(super) struct Registers<'r> {
    pub(super) own: &'r mut [u64],
    pub(super) constants: &'r [u64],
}

impl Registers<'_> {
    pub(super) fn get(&self, Src(source): Src) -> u64 {
        if source < CONSTANT {
            self.own[source as usize]
        } else {
            self.constants[(source - CONSTANT) as usize]
        }
    }

    pub(super) fn set(&mut self, register: u32, value: u64) {
        self.own[register as usize] = value;
    }
}

/// A mask of so many low bits.
fn low_bits(count: u32) -> u64 {
    if count == 0 { 0 } else { u64::MAX >> (64 - count.min(64)) }
}

/// `bfi`: of position and length the low 8 bits count.
fn insert(a: u64, b: u64, position: u64, length: u64, width: u32) -> u64 {
    let (position, length) = ((position & 255) as u32, (length & 255) as u32);
    if position >= width {
        return b & low_bits(width);
    }
    let mask = low_bits(length) << position & low_bits(width);
    (a << position & mask) | (b & !mask & low_bits(width))
}

/// `lop3`: a bit of the table for every combination of three bits.
fn logic(a: u64, b: u64, c: u64, table: u8) -> u64 {
    (0..8u8).filter(|row| table >> row & 1 == 1).fold(0, |result, row| {
        let chosen = |bits: u64, place: u8| if row >> place & 1 == 1 { bits } else { !bits };
        result | (chosen(a, 2) & chosen(b, 1) & chosen(c, 0))
    }) & 0xffff_ffff
}

impl Block<'_> {
    pub(super) fn run_thread(&mut self, number: usize) -> Check<()> {
        let (launch, module) = (self.launch, self.launch.module);
        let count = launch.kernel.registers as usize;
        let thread = &mut self.threads[number];
        let mut registers = Registers {
            own: &mut self.registers[number * count..(number + 1) * count],
            constants: &module.constants,
        };
        loop {
            let inst = &module.code[thread.at as usize];
            thread.executed += 1;
            if thread.executed > launch.budget {
                return bad_kernel(format!(
                    "endless loop: more than {} instructions in one thread",
                    launch.budget
                ));
            }
            if inst.guard != UNGUARDED && (registers.own[inst.guard as usize] & 1 == 1) != inst.when {
                thread.at += 1;
                continue;
            }
            match &inst.op {
                Op::Alu { f, d, a, b, c } => {
                    let value = f(registers.get(*a), registers.get(*b), registers.get(*c));
                    registers.set(*d, value);
                }
                Op::Load { d, count, width, signed, strong, from } => {
                    let party =
                        Party { clocks: &self.clocks, thread: number, line: inst.line, strong: *strong };
                    let mut memory = super::access::Memory {
                        launch,
                        shared: &mut self.shared,
                        local: &mut self.local,
                        actor: &self.actor,
                        party,
                    };
                    let base = registers.get(from.base).wrapping_add(from.offset as u64);
                    memory.aligned(base, *count, *width)?;
                    for at in 0..usize::from(*count) {
                        let offset = at as u64 * u64::from(*width);
                        let value =
                            memory.load(from.space, base.wrapping_add(offset), usize::from(*width))?;
                        let shift = 64 - 8 * u32::from(*width);
                        registers.set(
                            d[at],
                            if *signed { ((value << shift) as i64 >> shift) as u64 } else { value },
                        );
                    }
                }
                Op::Store { a, count, width, strong, to } => {
                    let party =
                        Party { clocks: &self.clocks, thread: number, line: inst.line, strong: *strong };
                    let mut memory = super::access::Memory {
                        launch,
                        shared: &mut self.shared,
                        local: &mut self.local,
                        actor: &self.actor,
                        party,
                    };
                    let base = registers.get(to.base).wrapping_add(to.offset as u64);
                    memory.aligned(base, *count, *width)?;
                    for at in 0..usize::from(*count) {
                        let offset = at as u64 * u64::from(*width);
                        let value = registers.get(a[at]);
                        memory.store(to.space, base.wrapping_add(offset), usize::from(*width), value)?;
                    }
                }
                Op::Atomic { f, d, width, at, b, c, .. } => {
                    let party = Party { clocks: &self.clocks, thread: number, line: inst.line, strong: true };
                    let mut memory = super::access::Memory {
                        launch,
                        shared: &mut self.shared,
                        local: &mut self.local,
                        actor: &self.actor,
                        party,
                    };
                    let address = registers.get(at.base).wrapping_add(at.offset as u64);
                    let (b, c) = (registers.get(*b), registers.get(*c));
                    let old = memory.atomic(at.space, address, usize::from(*width), |old| f(old, b, c))?;
                    if let Some(d) = d {
                        registers.set(*d, old);
                    }
                }
                Op::Compare { test, join, p, q, a, b, c, negated } => {
                    let found = test(registers.get(*a), registers.get(*b));
                    let other = (registers.get(*c) & 1 == 1) != *negated;
                    let with = |found: bool| match join {
                        Join::None => found,
                        Join::And => found & other,
                        Join::Or => found | other,
                        Join::Xor => found ^ other,
                    };
                    registers.set(*q, u64::from(with(!found)));
                    registers.set(*p, u64::from(with(found)));
                }
                Op::Convert { rule, d, a } => {
                    let value = rule.apply(registers.get(*a));
                    registers.set(*d, value);
                }
                Op::Insert { d, a, b, position, length, wide } => {
                    let (a, b) = (registers.get(*a), registers.get(*b));
                    let (position, length) = (registers.get(*position), registers.get(*length));
                    registers.set(*d, insert(a, b, position, length, if *wide { 64 } else { 32 }));
                }
                Op::Logic { d, a, b, c, table } => {
                    let value = logic(registers.get(*a), registers.get(*b), registers.get(*c), *table);
                    registers.set(*d, value);
                }
                Op::Pack { d, parts, bits } => {
                    let value = parts
                        .iter()
                        .rev()
                        .fold(0, |value, part| value << bits | (registers.get(*part) & low_bits(*bits)));
                    registers.set(*d, value);
                }
                Op::Unpack { d, a, bits } => {
                    let value = registers.get(*a);
                    for (at, part) in d.iter().enumerate() {
                        registers.set(*part, value >> (bits * at as u32) & low_bits(*bits));
                    }
                }
                Op::Special { d, which } => {
                    let index = coordinates(number as u64, launch.block);
                    let (lane, warp) = ((number % 32) as u32, (number / 32) as u64);
                    let value = match which {
                        Special::Tid(axis) => u64::from(index[*axis]),
                        Special::Ntid(axis) => u64::from(launch.block[*axis]),
                        Special::Ctaid(axis) => u64::from(self.index[*axis]),
                        Special::Nctaid(axis) => u64::from(launch.grid[*axis]),
                        Special::Lane => u64::from(lane),
                        Special::Warp => warp,
                        Special::Warps => launch.threads().div_ceil(32) as u64,
                        Special::Mask(of) => {
                            (0..32).filter(|&other| of(other, lane)).map(|other| 1 << other).sum()
                        }
                        Special::Clock => thread.executed,
                        Special::DynamicShared => u64::from(launch.dynamic),
                        Special::TotalShared => launch.shared() as u64,
                    };
                    registers.set(*d, value);
                }
                Op::Branch { to } => {
                    thread.at = *to;
                    continue;
                }
                Op::BranchIndex { targets, a } => {
                    let index = registers.get(*a) as u32;
                    let Some(to) = targets.get(index as usize) else {
                        return bad_kernel(format!("branch to target {index} of {}", targets.len()));
                    };
                    thread.at = *to;
                    continue;
                }
                Op::Call { function, arguments, .. } => {
                    for (from, to, size) in arguments {
                        self.local.copy(number, *from, *to, *size);
                    }
                    thread.calls.push(thread.at);
                    thread.at = module.functions[*function as usize];
                    continue;
                }
                Op::Return => match thread.calls.pop() {
                    Some(call) => {
                        if let Op::Call { results, .. } = &module.code[call as usize].op {
                            for (from, to, size) in results {
                                self.local.copy(number, *from, *to, *size);
                            }
                        }
                        thread.at = call;
                    }
                    None => {
                        thread.state = State::Ended;
                        return Ok(());
                    }
                },
                Op::Exit => {
                    thread.state = State::Ended;
                    return Ok(());
                }
                Op::Trap(what) => return bad_kernel((*what).to_owned()),
                Op::Barrier { .. } => {
                    thread.state = State::Barrier;
                    return Ok(());
                }
                Op::Warp { .. } => {
                    thread.state = State::Warp;
                    return Ok(());
                }
                Op::CopyAsync { to, from, bytes, present } => {
                    let target = registers.get(to.base).wrapping_add(to.offset as u64) & 0xffff_ffff;
                    let source = registers.get(from.base).wrapping_add(from.offset as u64);
                    let present = present.map_or(*bytes, |size| (registers.get(size) as u32).min(255) as u8);
                    if present > *bytes {
                        return bad_kernel(format!("cp.async of {present} bytes to a place of {bytes}"));
                    }
                    let party =
                        Party { clocks: &self.clocks, thread: number, line: inst.line, strong: false };
                    let copy = (target, source, *bytes, present);
                    super::access::begin_copy(launch, &mut self.shared, &self.actor, &party, copy)?;
                    thread.copies.push(copy);
                }
                Op::CopyCommit => thread.groups.push(core::mem::take(&mut thread.copies)),
                Op::CopyWait { left, all } => {
                    let left = if *all { 0 } else { registers.get(*left) as u32 as usize };
                    let landed = thread.groups.len().saturating_sub(left);
                    let mut copies: Vec<_> = thread.groups.drain(..landed).flatten().collect();
                    if *all {
                        copies.append(&mut thread.copies);
                    }
                    let party =
                        Party { clocks: &self.clocks, thread: number, line: inst.line, strong: false };
                    for copy in copies {
                        super::access::land_copy(launch, &mut self.shared, &self.actor, &party, copy)?;
                    }
                }
                Op::Nothing => {}
            }
            thread.at += 1;
        }
    }
}
