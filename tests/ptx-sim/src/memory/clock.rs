//! Which accesses of a block's threads are ordered, by the barriers between them.
//!
//! Every warp has a clock that moves at each of its barriers and warp-wide synchronisations; an access is stamped with
//! its thread and the clock of its warp. A warp knows up to which time it is behind every other warp (barriers join
//! this), and a lane the same of the lanes of its warp (`bar.warp.sync` joins that for the lanes of its mask).

const LANES: usize = 32;
/// Bits of a stamp that hold the clock; the thread lies above.
const CLOCK_BITS: u32 = 22;

/// Threads and times in 32 bits; zero stands for no access.
pub(crate) type Stamp = u32;

/// The clocks of a block.
pub(crate) struct Clocks {
    now: Vec<u32>,
    warps: Vec<[u32; LANES]>,
    lanes: Vec<[[u32; LANES]; LANES]>,
}

impl Clocks {
    pub(crate) fn new(warps: usize) -> Self {
        Self { now: vec![1; warps], warps: vec![[0; LANES]; warps], lanes: vec![[[0; LANES]; LANES]; warps] }
    }

    pub(crate) fn reset(&mut self) {
        self.now.fill(1);
        self.warps.fill([0; LANES]);
        self.lanes.fill([[0; LANES]; LANES]);
    }

    /// The stamp of what a thread does now.
    pub(crate) fn stamp(&self, thread: usize) -> Stamp {
        (thread as u32) << CLOCK_BITS | (self.now[thread / LANES] & ((1 << CLOCK_BITS) - 1))
    }

    /// Whether a clock has run out of numbers.
    pub(crate) fn spent(&self) -> bool {
        self.now.iter().any(|&now| now >= (1 << CLOCK_BITS) - 1)
    }

    /// The thread of a stamp.
    pub(crate) fn thread(stamp: Stamp) -> usize {
        (stamp >> CLOCK_BITS) as usize
    }

    /// Whether an earlier access happened before anything `thread` does now: by itself, or with a barrier between.
    pub(crate) fn ordered(&self, earlier: Stamp, thread: usize) -> bool {
        let (other, time) = (Self::thread(earlier), earlier & ((1 << CLOCK_BITS) - 1));
        if time == 0 || other == thread {
            return true;
        }
        let (warp, theirs) = (thread / LANES, other / LANES);
        if warp == theirs {
            time < self.lanes[warp][thread % LANES][other % LANES]
        } else {
            time < self.warps[warp][theirs]
        }
    }

    /// The lanes of a mask have met.
    pub(crate) fn meet_lanes(&mut self, warp: usize, mask: u32) {
        self.now[warp] += 1;
        let now = self.now[warp];
        let members = || (0..LANES).filter(move |lane| mask >> lane & 1 == 1);
        let mut joined = [0; LANES];
        for lane in members() {
            for other in 0..LANES {
                joined[other] = joined[other].max(self.lanes[warp][lane][other]);
            }
        }
        for lane in members() {
            joined[lane] = now;
        }
        for lane in members() {
            self.lanes[warp][lane] = joined;
        }
    }

    /// Warps have met at a barrier. Those of `arrived` only announce what they did; those of `waiting` learn it.
    pub(crate) fn meet_warps(&mut self, arrived: &[usize], waiting: &[usize]) {
        let mut joined = [0; LANES];
        for &warp in arrived.iter().chain(waiting) {
            for other in 0..LANES {
                joined[other] = joined[other].max(self.warps[warp][other]);
            }
        }
        for &warp in arrived.iter().chain(waiting) {
            self.now[warp] += 1;
            joined[warp] = self.now[warp];
        }
        for &warp in waiting {
            self.warps[warp] = joined;
            self.lanes[warp] = [[self.now[warp]; LANES]; LANES];
        }
    }
}
