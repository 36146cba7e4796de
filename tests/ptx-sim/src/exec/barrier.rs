//! Barriers of a block. A warp counts when all its lanes wait at the same one.

use super::block::{Block, State};
use crate::fault::{Check, Fault, Kind, Trouble, bad_kernel};
use crate::op::{Barrier, Op};

/// Barriers of a block.
pub(super) const BARRIERS: usize = 16;

/// A warp that waits.
struct Waiting {
    warp: usize,
    kind: Barrier,
    /// Threads that must come.
    expected: usize,
}

/// The barrier of a warp that has arrived, if it has.
type Arrival = Option<(usize, Waiting)>;

fn trouble(message: String) -> Box<Trouble> {
    Box::new(Trouble { kind: Kind::Launch, message })
}

impl Block<'_> {
    /// Lets go every barrier that is complete; whether there was one.
    pub(super) fn pass_barriers(&mut self) -> Result<bool, Box<Fault>> {
        let mut waiting: Vec<Vec<Waiting>> = (0..BARRIERS).map(|_| Vec::new()).collect();
        let mut moved = false;
        for warp in 0..self.warps() {
            let first = self.lanes(warp).start;
            let arrival = self.arrival(warp).map_err(|(thread, trouble)| self.locate(thread, trouble))?;
            let Some((id, arrival)) = arrival else { continue };
            if arrival.kind == Barrier::Arrive {
                if self.arrived[id].contains(&warp) {
                    return Err(self.locate(first, trouble(format!("arrives twice at barrier {id}"))));
                }
                self.arrived[id].push(warp);
                self.release(warp);
                moved = true;
            }
            waiting[id].push(arrival);
        }
        for (id, waiting) in waiting.iter().enumerate() {
            let syncing: Vec<usize> =
                waiting.iter().filter(|one| one.kind != Barrier::Arrive).map(|one| one.warp).collect();
            let Some(first) = waiting.iter().find(|one| one.kind != Barrier::Arrive) else { continue };
            let place = self.lanes(first.warp).start;
            if let Some(other) = waiting.iter().find(|one| one.expected != first.expected) {
                let message = format!(
                    "barrier {id} is waited for with {} and {} threads",
                    first.expected, other.expected
                );
                return Err(self.locate(place, trouble(message)));
            }
            let present: usize = syncing
                .iter()
                .chain(&self.arrived[id])
                .map(|&warp| self.lanes(warp).len().next_multiple_of(32))
                .sum();
            if present > first.expected.next_multiple_of(32) {
                let message =
                    format!("{present} threads at barrier {id}, which waits for {}", first.expected);
                return Err(self.locate(place, trouble(message)));
            }
            if present == first.expected.next_multiple_of(32) {
                self.reduce(&syncing);
                let arrived = core::mem::take(&mut self.arrived[id]);
                self.clocks.meet_warps(&arrived, &syncing);
                syncing.iter().for_each(|&warp| self.release(warp));
                moved = true;
            }
        }
        Ok(moved)
    }

    fn release(&mut self, warp: usize) {
        for thread in self.lanes(warp) {
            self.threads[thread].state = State::Ready;
            self.threads[thread].at += 1;
        }
    }

    /// The barrier at which a warp has arrived as a whole.
    fn arrival(&self, warp: usize) -> Result<Arrival, (usize, Box<Trouble>)> {
        let lanes = self.lanes(warp);
        let mut found: Option<(usize, Waiting)> = None;
        let waits = |thread: usize| self.threads[thread].state == State::Barrier;
        let Some(first) = lanes.clone().find(|&thread| waits(thread)) else { return Ok(None) };
        if let Some(ended) = lanes.clone().find(|&thread| self.threads[thread].state == State::Ended) {
            let message = format!("divergent barrier: thread number {ended} of the warp has ended");
            return Err((first, trouble(message)));
        }
        if !lanes.clone().all(waits) {
            return Ok(None);
        }
        for thread in lanes {
            let (id, aligned, one) = self.wanted(thread, warp).map_err(|trouble| (thread, trouble))?;
            let elsewhere = aligned && self.threads[thread].at != self.threads[first].at;
            match &found {
                Some((other, before)) if elsewhere || *other != id || before.kind != one.kind => {
                    let message = format!(
                        "divergent barrier: lanes of one warp wait at lines {} and {}",
                        self.line(first),
                        self.line(thread)
                    );
                    return Err((thread, trouble(message)));
                }
                Some((_, before)) if before.expected != one.expected => {
                    return Err((thread, trouble("lanes wait for different numbers of threads".to_owned())));
                }
                Some(_) => {}
                None => found = Some((id, one)),
            }
        }
        Ok(found)
    }

    /// What a thread waits for.
    fn wanted(&self, thread: usize, warp: usize) -> Check<(usize, bool, Waiting)> {
        let Op::Barrier { kind, id, count, aligned, .. } = self.op(thread) else {
            return bad_kernel("not at a barrier".to_owned());
        };
        let id = self.value(thread, *id) as u32 as usize;
        let all = self.threads.len();
        let expected = count.map_or(all, |count| self.value(thread, count) as u32 as usize);
        if id >= BARRIERS {
            return bad_kernel(format!("barrier {id} of {BARRIERS}"));
        }
        if count.is_some() && (expected == 0 || expected % 32 != 0) || expected > all.next_multiple_of(32) {
            return bad_kernel(format!("a barrier of {expected} threads in a block of {all}"));
        }
        Ok((id, *aligned, Waiting { warp, kind: *kind, expected }))
    }

    /// `bar.red`: the predicates of all threads become one value.
    fn reduce(&mut self, warps: &[usize]) {
        let threads: Vec<usize> = warps.iter().flat_map(|&warp| self.lanes(warp)).collect();
        let (mut set, mut total) = (0, 0);
        for &thread in &threads {
            if let Op::Barrier { a, negated, .. } = self.op(thread) {
                set += u64::from((self.value(thread, *a) & 1 == 1) != *negated);
                total += 1;
            }
        }
        for thread in threads {
            if let Op::Barrier { kind, d, .. } = self.op(thread) {
                let value = match kind {
                    Barrier::Count => set,
                    Barrier::And => u64::from(set == total),
                    Barrier::Or => u64::from(set > 0),
                    Barrier::Sync | Barrier::Arrive => continue,
                };
                self.set(thread, *d, value);
            }
        }
    }
}
