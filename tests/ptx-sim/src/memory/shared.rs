//! The shared memory of a block: values, what is set, and races between its threads.

use super::clock::Stamp;
use super::{Clocks, Grain, IN_FLIGHT, SET, UNSET};
use crate::fault::{Check, bad_address, bad_kernel};

/// Who touches shared memory, and where in the code.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    pub(crate) clocks: &'a Clocks,
    pub(crate) thread: usize,
    pub(crate) line: u32,
    /// Atomics and volatile accesses do not race with each other.
    pub(crate) strong: bool,
}

/// One access: who and when, and the line.
#[derive(Clone, Copy, Default)]
struct Access {
    stamp: Stamp,
    line: u32,
}

/// Two accesses by different threads: whoever comes next, one of them is by somebody else.
#[derive(Clone, Copy, Default)]
struct Recent([Access; 2]);

impl Recent {
    fn insert(&mut self, access: Access, party: &Party<'_>) {
        let [first, second] = &mut self.0;
        if first.stamp == access.stamp || party.clocks.ordered(first.stamp, party.thread) {
            *first = access;
        } else if second.stamp == access.stamp || party.clocks.ordered(second.stamp, party.thread) {
            *second = access;
        } else if Clocks::thread(first.stamp) / 32 == Clocks::thread(second.stamp) / 32 {
            // Two warps say more than two lanes of one.
            *second = access;
        }
    }

    fn against(&self, party: &Party<'_>) -> Option<Access> {
        self.0.iter().copied().find(|access| !party.clocks.ordered(access.stamp, party.thread))
    }
}

/// What was done to a piece since it mattered.
#[derive(Clone, Copy, Default)]
struct History {
    write: Access,
    reads: Recent,
    strong: Recent,
}

/// Shared memory.
pub(crate) struct Shared {
    bytes: Vec<u8>,
    state: Vec<u8>,
    history: Vec<History>,
    grain: Grain,
}

fn race<T>(now: &str, before: &str, offset: usize, other: Access) -> Check<T> {
    bad_kernel(format!(
        "race in shared memory at byte {offset}: this {now} and the {before} at line {} by thread number {} have no \
         barrier between them",
        other.line,
        Clocks::thread(other.stamp)
    ))
}

impl Shared {
    pub(crate) fn new(size: usize, grain: Grain) -> Self {
        Self {
            bytes: vec![0; size],
            state: vec![UNSET; size],
            history: vec![History::default(); (size >> grain.0) + 1],
            grain,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.state.fill(UNSET);
        self.history.fill(History::default());
    }

    /// Refuses what is outside or not aligned to its own width.
    pub(crate) fn check(&self, offset: u64, width: usize, what: &str) -> Check<usize> {
        if offset.checked_add(width as u64).is_none_or(|end| end > self.bytes.len() as u64) {
            return bad_address(format!(
                "{what} of {width} bytes at byte {offset} of shared memory, which has {}",
                self.bytes.len()
            ));
        }
        if offset & (width as u64 - 1) != 0 {
            return bad_address(format!(
                "misaligned {what} of {width} bytes at byte {offset} of shared memory"
            ));
        }
        Ok(offset as usize)
    }

    fn pieces(&self, offset: usize, width: usize) -> core::ops::RangeInclusive<usize> {
        offset >> self.grain.0..=(offset + width - 1) >> self.grain.0
    }

    pub(crate) fn load(&mut self, offset: u64, width: usize, party: &Party<'_>) -> Check<u64> {
        let offset = self.check(offset, width, "read")?;
        for piece in self.pieces(offset, width) {
            let history = &mut self.history[piece];
            if !party.clocks.ordered(history.write.stamp, party.thread) {
                return race("read", "write", offset, history.write);
            }
            if !party.strong
                && let Some(other) = history.strong.against(party)
            {
                return race("read", "atomic or volatile access", offset, other);
            }
            let access = Access { stamp: party.clocks.stamp(party.thread), line: party.line };
            if party.strong { &mut history.strong } else { &mut history.reads }.insert(access, party);
        }
        let state = &self.state[offset..offset + width];
        if state.contains(&IN_FLIGHT) {
            return bad_kernel(format!("read of shared byte {offset}, which a cp.async still writes"));
        }
        if state.contains(&UNSET) {
            return bad_kernel(format!("read of shared byte {offset}, which was never written"));
        }
        let mut value = [0; 8];
        value[..width].copy_from_slice(&self.bytes[offset..offset + width]);
        Ok(u64::from_le_bytes(value))
    }

    pub(crate) fn store(&mut self, offset: u64, width: usize, value: u64, party: &Party<'_>) -> Check<()> {
        let offset = self.check(offset, width, "write")?;
        if self.state[offset..offset + width].contains(&IN_FLIGHT) {
            return bad_kernel(format!("write to shared byte {offset}, which a cp.async still writes"));
        }
        self.mark(offset, width, party)?;
        self.bytes[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
        self.state[offset..offset + width].fill(SET);
        Ok(())
    }

    /// Notes a write and refuses a race.
    fn mark(&mut self, offset: usize, width: usize, party: &Party<'_>) -> Check<()> {
        for piece in self.pieces(offset, width) {
            let history = &mut self.history[piece];
            if !party.clocks.ordered(history.write.stamp, party.thread) {
                return race("write", "write", offset, history.write);
            }
            if let Some(other) = history.reads.against(party) {
                return race("write", "read", offset, other);
            }
            let access = Access { stamp: party.clocks.stamp(party.thread), line: party.line };
            if party.strong {
                history.strong.insert(access, party);
            } else if let Some(other) = history.strong.against(party) {
                return race("write", "atomic or volatile access", offset, other);
            } else {
                history.write = access;
            }
        }
        Ok(())
    }

    pub(crate) fn atomic(
        &mut self,
        offset: u64,
        width: usize,
        party: &Party<'_>,
        change: impl FnOnce(u64) -> u64,
    ) -> Check<u64> {
        let old = self.load(offset, width, party)?;
        self.store(offset, width, change(old), party)?;
        Ok(old)
    }

    /// A `cp.async` has begun: until it lands nobody may touch these bytes.
    pub(crate) fn begin_copy(&mut self, offset: u64, width: usize, party: &Party<'_>) -> Check<()> {
        let offset = self.check(offset, width, "copy")?;
        if self.state[offset..offset + width].contains(&IN_FLIGHT) {
            return bad_kernel(format!("two cp.async write shared byte {offset}"));
        }
        self.mark(offset, width, party)?;
        self.state[offset..offset + width].fill(IN_FLIGHT);
        Ok(())
    }

    pub(crate) fn land_copy(&mut self, offset: u64, data: &[u8], party: &Party<'_>) -> Check<()> {
        let place = offset as usize;
        self.mark(place, data.len(), party)?;
        self.bytes[place..place + data.len()].copy_from_slice(data);
        self.state[place..place + data.len()].fill(SET);
        Ok(())
    }
}
