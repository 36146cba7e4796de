//! Device memory: allocations, what of them is set, and races between the blocks of a launch.
//!
//! An address is the number of an allocation and an offset, so one that runs past an end never lands in a neighbour,
//! and numbers are not used again: what points to freed memory is known as such. Words are atomic, so blocks may run
//! on several cores without unsafe code.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::OnceLock;

use super::Grain;
use crate::fault::{Check, bad_address, bad_kernel};

const OFFSET_BITS: u32 = 32;
/// A stamp of an access between blocks: launch, whether by several blocks, line, block.
const BLOCK_BITS: u32 = 28;
const LINE_BITS: u32 = 19;
const SEVERAL: u64 = 1 << (BLOCK_BITS + LINE_BITS);
const LAUNCH_SHIFT: u32 = BLOCK_BITS + LINE_BITS + 1;

/// The last writer of every piece, and the first that touched it otherwise.
struct Races {
    writers: Vec<AtomicU64>,
    others: Vec<AtomicU64>,
    grain: Grain,
}

struct Allocation {
    size: usize,
    words: Vec<AtomicU32>,
    /// A bit for every byte of the word.
    set: Vec<AtomicU8>,
    races: OnceLock<Races>,
}

enum Slot {
    Live(Allocation),
    Freed(usize),
}

/// Who touches global memory.
#[derive(Clone, Copy)]
pub(crate) struct Actor {
    launch: u64,
    block: u64,
    line: u32,
    strong: bool,
}

impl Actor {
    /// The same block at an instruction.
    pub(crate) fn at(&self, line: u32, strong: bool) -> Self {
        Self { line, strong, ..*self }
    }

    fn stamp(&self) -> u64 {
        self.launch << LAUNCH_SHIFT | u64::from(self.line) << BLOCK_BITS | self.block
    }
}

/// Device memory.
pub(crate) struct Global {
    slots: Vec<Slot>,
    used: usize,
    limit: usize,
    launch: u64,
    grain: Grain,
}

fn atomics<T, A: From<T>>(count: usize, zero: impl Fn() -> T) -> Vec<A> {
    (0..count).map(|_| A::from(zero())).collect()
}

impl Global {
    pub(crate) fn new(limit: usize) -> Self {
        Self { slots: Vec::new(), used: 0, limit, launch: 0, grain: Grain(2) }
    }

    /// Free and total bytes.
    pub(crate) fn room(&self) -> (usize, usize) {
        (self.limit - self.used, self.limit)
    }

    /// A new allocation, if there is room.
    pub(crate) fn allocate(&mut self, size: usize) -> Option<u64> {
        if size == 0 || size > self.limit - self.used || size > u32::MAX as usize {
            return None;
        }
        self.used += size;
        let words = size.div_ceil(4);
        self.slots.push(Slot::Live(Allocation {
            size,
            words: atomics(words, || 0u32),
            set: atomics(words, || 0u8),
            races: OnceLock::new(),
        }));
        Some((self.slots.len() as u64) << OFFSET_BITS)
    }

    /// Whether there was such an allocation to free.
    pub(crate) fn free(&mut self, address: u64) -> bool {
        let number = (address >> OFFSET_BITS) as usize;
        let Some(slot) = number.checked_sub(1).and_then(|at| self.slots.get_mut(at)) else { return false };
        match slot {
            Slot::Live(allocation) if address << (64 - OFFSET_BITS) == 0 => {
                let size = allocation.size;
                *slot = Slot::Freed(size);
                self.used -= size;
                true
            }
            _ => false,
        }
    }

    /// How many allocations were not freed.
    pub(crate) fn live(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Live(_))).count()
    }

    /// Starts a launch whose races are watched in pieces of `grain`.
    pub(crate) fn begin_launch(&mut self, grain: Grain) {
        self.launch = (self.launch + 1) % (1 << (64 - LAUNCH_SHIFT));
        // Old stamps would look new when numbers begin again, and say nothing when pieces have another size.
        if self.launch == 0 || grain != self.grain {
            self.launch = self.launch.max(1);
            for slot in &mut self.slots {
                if let Slot::Live(allocation) = slot {
                    allocation.races = OnceLock::new();
                }
            }
        }
        self.grain = grain;
    }

    pub(crate) fn actor(&self, block: u64) -> Actor {
        Actor { launch: self.launch, block, line: 0, strong: false }
    }

    /// Whether blocks and lines can be told apart.
    pub(crate) fn can_watch(blocks: u64, lines: usize) -> bool {
        blocks < 1 << BLOCK_BITS && lines < 1 << LINE_BITS
    }

    fn find(&self, address: u64, width: usize, what: &str) -> Check<(&Allocation, usize)> {
        let (number, offset) = ((address >> OFFSET_BITS) as usize, (address & u64::from(u32::MAX)) as usize);
        match number.checked_sub(1).and_then(|at| self.slots.get(at)) {
            Some(Slot::Live(allocation)) if offset + width <= allocation.size => Ok((allocation, offset)),
            Some(Slot::Live(allocation)) => bad_address(format!(
                "{what} of {width} bytes at byte {offset} of allocation {number}, which has {} bytes",
                allocation.size
            )),
            Some(Slot::Freed(size)) => bad_address(format!(
                "{what} at byte {offset} of allocation {number} ({size} bytes), which was freed: use after free"
            )),
            None => bad_address(format!("{what} at address {address:#x}, which was never allocated")),
        }
    }

    fn aligned(&self, address: u64, width: usize, what: &str) -> Check<(&Allocation, usize)> {
        if address & (width as u64 - 1) != 0 {
            return bad_address(format!("misaligned {what} of {width} bytes at address {address:#x}"));
        }
        self.find(address, width, what)
    }

    pub(crate) fn load(&self, address: u64, width: usize, actor: &Actor) -> Check<u64> {
        let (allocation, offset) = self.aligned(address, width, "read")?;
        allocation.watch(offset, width, actor, false, self.grain)?;
        allocation.get(offset, width).map_or_else(
            || {
                bad_kernel(format!(
                    "read of global byte {offset} of allocation {}, which was never written",
                    address >> OFFSET_BITS
                ))
            },
            Ok,
        )
    }

    pub(crate) fn store(&self, address: u64, width: usize, value: u64, actor: &Actor) -> Check<()> {
        let (allocation, offset) = self.aligned(address, width, "write")?;
        allocation.watch(offset, width, actor, !actor.strong, self.grain)?;
        allocation.put(offset, width, value);
        Ok(())
    }

    /// Only accesses of four bytes may meet others of other cores: grids with wider ones run on one.
    pub(crate) fn atomic(
        &self,
        address: u64,
        width: usize,
        actor: &Actor,
        change: impl Fn(u64) -> u64,
    ) -> Check<u64> {
        let (allocation, offset) = self.aligned(address, width, "atomic access")?;
        let actor = Actor { strong: true, ..*actor };
        allocation.watch(offset, width, &actor, false, self.grain)?;
        let Some(old) = allocation.get(offset, width) else {
            return bad_kernel(format!("atomic access to global byte {offset}, which was never written"));
        };
        if width == 4 {
            let word = &allocation.words[offset / 4];
            let old = word
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(change(old.into()) as u32));
            return Ok(u64::from(old.unwrap_or_else(|old| old)));
        }
        allocation.put(offset, width, change(old));
        Ok(old)
    }

    /// What the host writes.
    pub(crate) fn write(&self, address: u64, data: &[u8]) -> Check<()> {
        let (allocation, offset) = self.find(address, data.len(), "host write")?;
        allocation.put_all(offset, data.len(), |at| data[at]);
        Ok(())
    }

    /// Bytes set by the host to a repeated pattern.
    pub(crate) fn fill(&self, address: u64, pattern: &[u8], count: usize) -> Check<()> {
        let size = count.saturating_mul(pattern.len());
        let (allocation, offset) = self.find(address, size, "host memset")?;
        allocation.put_all(offset, size, |at| pattern[at % pattern.len()]);
        Ok(())
    }

    /// What the host reads; bytes that were never written have a value too, which is zero here.
    pub(crate) fn read(&self, address: u64, data: &mut [u8]) -> Check<()> {
        let (allocation, offset) = self.find(address, data.len(), "host read")?;
        for (at, byte) in data.iter_mut().enumerate() {
            let place = offset + at;
            *byte = allocation.words[place / 4].load(Ordering::Relaxed).to_le_bytes()[place % 4];
        }
        Ok(())
    }

    /// A copy on the device; bytes that are not set stay so at their new place.
    pub(crate) fn copy(&self, to: u64, from: u64, size: usize) -> Check<()> {
        let (source, start) = self.find(from, size, "host copy from")?;
        let (target, end) = self.find(to, size, "host copy to")?;
        let bytes: Vec<Option<u64>> = (0..size).map(|at| source.get(start + at, 1)).collect();
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                Some(byte) => target.put(end + at, 1, *byte),
                None => _ = target.set[(end + at) / 4].fetch_and(!(1 << ((end + at) % 4)), Ordering::Relaxed),
            }
        }
        Ok(())
    }
}

impl Allocation {
    /// The value at an aligned place, if all of it is set.
    fn get(&self, offset: usize, width: usize) -> Option<u64> {
        let at = offset / 4;
        let (set, word) =
            (self.set[at].load(Ordering::Relaxed), u64::from(self.words[at].load(Ordering::Relaxed)));
        match width {
            4 => (set == 15).then_some(word),
            8 => {
                let upper = u64::from(self.words[at + 1].load(Ordering::Relaxed));
                (set & self.set[at + 1].load(Ordering::Relaxed) == 15).then_some(word | upper << 32)
            }
            _ => {
                let (within, bytes) = (offset % 4, (1u8 << width) - 1);
                (set >> within & bytes == bytes).then_some(word >> (8 * within) & ((1 << (8 * width)) - 1))
            }
        }
    }

    /// Sets an aligned place.
    fn put(&self, offset: usize, width: usize, value: u64) {
        let at = offset / 4;
        let whole = |at: usize, value: u64| {
            self.words[at].store(value as u32, Ordering::Relaxed);
            self.set[at].store(15, Ordering::Relaxed);
        };
        match width {
            4 => whole(at, value),
            8 => {
                whole(at, value);
                whole(at + 1, value >> 32);
            }
            _ => {
                let within = offset % 4;
                let mask = ((1u32 << (8 * width)) - 1) << (8 * within);
                let value = (value as u32) << (8 * within) & mask;
                // A neighbour in the word may be written from another core.
                self.words[at]
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(old & !mask | value))
                    .unwrap_or_else(|old| old);
                self.set[at].fetch_or(((1u8 << width) - 1) << within, Ordering::Relaxed);
            }
        }
    }

    /// Sets bytes from the host, whole words where it can.
    fn put_all(&self, offset: usize, size: usize, byte: impl Fn(usize) -> u8) {
        let mut at = 0;
        while at < size {
            if (offset + at).is_multiple_of(4) && at + 4 <= size {
                let word = u32::from_le_bytes([byte(at), byte(at + 1), byte(at + 2), byte(at + 3)]);
                self.put(offset + at, 4, word.into());
                at += 4;
            } else {
                self.put(offset + at, 1, byte(at).into());
                at += 1;
            }
        }
    }

    /// Notes an access and refuses a race: two blocks, one word, and a plain write among the accesses.
    fn watch(&self, offset: usize, width: usize, actor: &Actor, write: bool, grain: Grain) -> Check<()> {
        let races = self.races.get_or_init(|| {
            let pieces = (self.size >> grain.0) + 1;
            Races { writers: atomics(pieces, || 0u64), others: atomics(pieces, || 0u64), grain }
        });
        for piece in offset >> races.grain.0..=(offset + width - 1) >> races.grain.0 {
            races.watch(piece, actor, write).or_else(|(before, other)| {
                let now = if write { "write" } else { "access" };
                let (line, block) = (other >> BLOCK_BITS & ((1 << LINE_BITS) - 1), other & ((1 << BLOCK_BITS) - 1));
                bad_kernel(format!(
                    "race in global memory at byte {offset}: this {now} and the {before} at line {line} by block \
                     number {block} are of one launch"
                ))
            })?;
        }
        Ok(())
    }
}

impl Races {
    /// The check of one piece. Stamps are put down before others are looked at, in one order for all cores, so of two
    /// blocks that meet at least one sees the other.
    fn watch(&self, piece: usize, actor: &Actor, write: bool) -> Result<(), (&'static str, u64)> {
        let (writer, others) = (&self.writers[piece], &self.others[piece]);
        let own = actor.stamp();
        let current = |stamp: u64| stamp >> LAUNCH_SHIFT == actor.launch;
        let mine = |stamp: u64| stamp & ((1 << BLOCK_BITS) - 1) == actor.block;
        if write {
            let before = writer.load(Ordering::SeqCst);
            if !(current(before) && mine(before)) {
                let before = writer.swap(own, Ordering::SeqCst);
                if current(before) && !mine(before) {
                    return Err(("write", before));
                }
            }
            let other = others.load(Ordering::SeqCst);
            if current(other) && (other & SEVERAL != 0 || !mine(other)) {
                return Err(("read or atomic access", other));
            }
            return Ok(());
        }
        let mut seen = others.load(Ordering::SeqCst);
        while !(current(seen) && (mine(seen) || seen & SEVERAL != 0)) {
            // Of several the last one stays, so that a writer among them meets another's number.
            let next = if current(seen) { own | SEVERAL } else { own };
            match others.compare_exchange(seen, next, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        let before = writer.load(Ordering::SeqCst);
        if current(before) && !mine(before) { Err(("write", before)) } else { Ok(()) }
    }
}
