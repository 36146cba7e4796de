//! What lanes of a warp do together, once every lane of the mask has come.

use core::mem::discriminant;

use super::block::{Block, LANES, State};
use crate::fault::{Check, Fault, bad_kernel};
use crate::op::{Collective, Op, Shuffle, Src, Vote};

/// Whether lanes at two instructions do the same: their registers may differ, their operation may not.
fn same(one: &Collective, other: &Collective) -> bool {
    match (one, other) {
        (Collective::Shuffle { mode: a, .. }, Collective::Shuffle { mode: b, .. }) => a == b,
        (Collective::Vote { vote: a, .. }, Collective::Vote { vote: b, .. }) => a == b,
        (Collective::Match { all: a, bits: n, .. }, Collective::Match { all: b, bits: m, .. }) => {
            a == b && n == m
        }
        (a, b) => discriminant(a) == discriminant(b),
    }
}

/// Where a lane of `shfl.sync` reads, and whether that is inside its segment.
fn source(mode: Shuffle, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (b, clamp, segment) = (b & 31, c & 31, c >> 8 & 31);
    let (least, most) = (lane & segment, (lane & segment) | (clamp & !segment));
    let (from, inside) = match mode {
        // The clamp is the lowest lane here; a negative number is outside too.
        Shuffle::Up => (lane.wrapping_sub(b), lane >= b && lane - b >= most),
        Shuffle::Down => (lane + b, lane + b <= most),
        Shuffle::Butterfly => (lane ^ b, lane ^ b <= most),
        Shuffle::Index => (least | (b & !segment), (least | (b & !segment)) <= most),
    };
    if inside { (from, true) } else { (lane, false) }
}

impl Block<'_> {
    /// Lets go every group of lanes that is complete; whether there was one.
    pub(super) fn run_collectives(&mut self, warp: usize) -> Result<bool, Box<Fault>> {
        let mut moved = false;
        for first in self.lanes(warp) {
            if self.threads[first].state == State::Warp {
                moved |= self.run_collective(warp, first).map_err(|trouble| self.locate(first, trouble))?;
            }
        }
        Ok(moved)
    }

    fn collective(&self, thread: usize) -> Option<(&Collective, Option<Src>)> {
        match self.op(thread) {
            Op::Warp { what, mask } if self.threads[thread].state == State::Warp => Some((what, *mask)),
            _ => None,
        }
    }

    /// Whether a lane waits at the same operation with the same mask.
    fn joins(&self, lane: usize, first: usize, what: &Collective, mask: u32) -> bool {
        // Operations of the whole warp must be one instruction.
        let anywhere = !matches!(
            what,
            Collective::ActiveMask { .. } | Collective::LoadMatrix { .. } | Collective::Multiply { .. }
        );
        self.collective(lane).is_some_and(|(other, other_mask)| {
            let other_mask = other_mask.map_or(mask, |mask| self.value(lane, mask) as u32);
            other_mask == mask
                && same(what, other)
                && (anywhere || self.threads[lane].at == self.threads[first].at)
        })
    }

    fn run_collective(&mut self, warp: usize, first: usize) -> Check<bool> {
        let lanes = self.lanes(warp);
        let Op::Warp { what, mask } = self.op(first) else { return Ok(false) };
        let mask = mask.map_or(u32::MAX, |mask| self.value(first, mask) as u32);
        if mask >> (first - lanes.start) & 1 == 0 {
            return bad_kernel(format!(
                "mask {mask:#010x} leaves out the lane itself ({})",
                first - lanes.start
            ));
        }
        if lanes.len() < LANES && mask != u32::MAX && mask >> lanes.len() != 0 {
            return bad_kernel(format!(
                "mask {mask:#010x} names lanes that the warp of {} does not have",
                lanes.len()
            ));
        }
        let named: Vec<usize> = lanes.clone().filter(|lane| mask >> (lane - lanes.start) & 1 == 1).collect();
        let present: Vec<usize> =
            named.iter().copied().filter(|&lane| self.joins(lane, first, what, mask)).collect();
        let complete = match what {
            // Lanes that happen to be here now are the active ones.
            Collective::ActiveMask { .. } => true,
            Collective::LoadMatrix { .. } | Collective::Multiply { .. } => {
                if lanes.len() < LANES || named.iter().any(|&lane| self.threads[lane].state == State::Ended) {
                    return bad_kernel("needs all 32 lanes of the warp".to_owned());
                }
                present.len() == named.len()
            }
            _ => named.iter().all(|lane| present.contains(lane) || self.threads[*lane].state == State::Ended),
        };
        if !complete {
            return Ok(false);
        }
        match what {
            Collective::Sync => self.clocks.meet_lanes(warp, mask),
            Collective::ActiveMask { .. } => {
                let active = present.iter().map(|lane| 1u64 << (lane - lanes.start)).sum();
                self.give(
                    &present,
                    |what| if let Collective::ActiveMask { d } = what { Some(*d) } else { None },
                    active,
                );
            }
            Collective::Shuffle { mode, .. } => self.shuffle(*mode, lanes.start, &present)?,
            Collective::Vote { vote, .. } => self.vote(*vote, lanes.start, &present),
            Collective::Match { all, bits, .. } => self.find_equal(*all, *bits, lanes.start, &present),
            Collective::Reduce { f, .. } => {
                let mut values = present.iter().filter_map(|&lane| match self.op(lane) {
                    Op::Warp { what: Collective::Reduce { a, .. }, .. } => {
                        Some(self.value(lane, *a) & 0xffff_ffff)
                    }
                    _ => None,
                });
                let start = values.next().unwrap_or(0);
                let result = values.fold(start, |sum, value| f(sum, value, 0));
                self.give(
                    &present,
                    |what| if let Collective::Reduce { d, .. } = what { Some(*d) } else { None },
                    result,
                );
            }
            Collective::LoadMatrix { d, count, transposed, from } => {
                self.load_matrix(lanes.start, *d, *count, *transposed, *from)?;
            }
            Collective::Multiply { kind, k, d, a, b, c } => {
                self.multiply(lanes.start, *kind, *k, *d, a, b, c)
            }
        }
        for lane in present {
            self.threads[lane].state = State::Ready;
            self.threads[lane].at += 1;
        }
        Ok(true)
    }

    /// Gives lanes one value, each in a register of its own instruction.
    fn give(&mut self, lanes: &[usize], register: impl Fn(&Collective) -> Option<u32>, value: u64) {
        for &lane in lanes {
            if let Op::Warp { what, .. } = self.op(lane)
                && let Some(register) = register(what)
            {
                self.set(lane, register, value);
            }
        }
    }

    fn shuffle(&mut self, mode: Shuffle, start: usize, present: &[usize]) -> Check<()> {
        let mut values = [None; LANES];
        for &lane in present {
            if let Op::Warp { what: Collective::Shuffle { a, .. }, .. } = self.op(lane) {
                values[lane - start] = Some(self.value(lane, *a) & 0xffff_ffff);
            }
        }
        for &lane in present {
            let Op::Warp { what: Collective::Shuffle { d, valid, b, c, .. }, .. } = self.op(lane) else {
                continue;
            };
            let (b, c) = (self.value(lane, *b) as u32, self.value(lane, *c) as u32);
            let (from, inside) = source(mode, (lane - start) as u32, b, c);
            let Some(value) = values.get(from as usize).copied().flatten() else {
                return bad_kernel(format!(
                    "lane {} shuffles from lane {from}, which does not take part: bad mask",
                    lane - start
                ));
            };
            if let Some(valid) = valid {
                self.set(lane, *valid, u64::from(inside));
            }
            self.set(lane, *d, value);
        }
        Ok(())
    }

    fn vote(&mut self, vote: Vote, start: usize, present: &[usize]) {
        let mut ballot = 0u64;
        for &lane in present {
            if let Op::Warp { what: Collective::Vote { a, negated, .. }, .. } = self.op(lane)
                && (self.value(lane, *a) & 1 == 1) != *negated
            {
                ballot |= 1 << (lane - start);
            }
        }
        let everyone = ballot.count_ones() as usize == present.len();
        let value = match vote {
            Vote::Ballot => ballot,
            Vote::Any => u64::from(ballot != 0),
            Vote::All => u64::from(everyone),
            Vote::Uniform => u64::from(everyone || ballot == 0),
        };
        self.give(present, |what| if let Collective::Vote { d, .. } = what { Some(*d) } else { None }, value);
    }

    /// `match.sync`: which lanes hold the same value.
    fn find_equal(&mut self, all: bool, bits: u32, start: usize, present: &[usize]) {
        let values: Vec<u64> = present
            .iter()
            .map(|&lane| match self.op(lane) {
                Op::Warp { what: Collective::Match { a, .. }, .. } => {
                    self.value(lane, *a) & u64::MAX >> (64 - bits)
                }
                _ => 0,
            })
            .collect();
        for (at, &lane) in present.iter().enumerate() {
            let equal = || present.iter().zip(&values).filter(|(_, value)| **value == values[at]);
            let mask: u64 = equal().map(|(other, _)| 1 << (other - start)).sum();
            let everyone = equal().count() == present.len();
            if let Op::Warp { what: Collective::Match { d, valid, .. }, .. } = self.op(lane) {
                self.set(lane, *d, if all && !everyone { 0 } else { mask });
                if let Some(valid) = valid {
                    self.set(lane, *valid, u64::from(everyone));
                }
            }
        }
    }
}
