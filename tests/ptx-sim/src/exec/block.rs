//! A block: runs its threads until each waits or has ended, then lets warps and barriers go on.

use super::{Launch, coordinates};
use crate::fault::{Check, Fault, Kind, Trouble};
use crate::memory::{Actor, Clocks, Local, Party, Shared};
use crate::op::{CONSTANT, Op, Src};

/// Lanes of a warp.
pub(super) const LANES: usize = 32;

/// What a thread does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Ready,
    /// Waits at an instruction that lanes execute together.
    Warp,
    Barrier,
    Ended,
}

/// A copy that has begun: to shared, from global, bytes, bytes that exist at the source.
pub(super) type Copy = (u64, u64, u8, u8);

/// A thread.
pub(super) struct Thread {
    pub(super) at: u32,
    pub(super) state: State,
    pub(super) executed: u64,
    /// Where calls return to: the call.
    pub(super) calls: Vec<u32>,
    /// Copies of the group that is not committed yet, and the groups that are.
    pub(super) copies: Vec<Copy>,
    pub(super) groups: Vec<Vec<Copy>>,
}

/// A block of threads.
pub(super) struct Block<'a> {
    pub(super) launch: &'a Launch<'a>,
    pub(super) number: u64,
    pub(super) index: [u32; 3],
    pub(super) threads: Vec<Thread>,
    /// Those of all threads, one after another.
    pub(super) registers: Vec<u64>,
    pub(super) shared: Shared,
    pub(super) local: Local,
    pub(super) clocks: Clocks,
    /// Warps that have passed `bar.arrive`, by barrier.
    pub(super) arrived: Vec<Vec<usize>>,
    pub(super) actor: Actor,
}

impl<'a> Block<'a> {
    pub(super) fn new(launch: &'a Launch<'a>) -> Self {
        let (threads, kernel) = (launch.threads(), launch.kernel);
        let thread = || Thread {
            at: 0,
            state: State::Ready,
            executed: 0,
            calls: Vec::new(),
            copies: Vec::new(),
            groups: Vec::new(),
        };
        Self {
            launch,
            number: 0,
            index: [0; 3],
            threads: (0..threads).map(|_| thread()).collect(),
            registers: vec![0; threads * kernel.registers as usize],
            shared: Shared::new(launch.shared(), kernel.grain_shared),
            local: Local::new(kernel.local, threads),
            clocks: Clocks::new(threads.div_ceil(LANES)),
            arrived: vec![Vec::new(); super::barrier::BARRIERS],
            actor: launch.global.actor(0),
        }
    }

    fn reset(&mut self, number: u64) {
        self.number = number;
        self.index = coordinates(number, self.launch.grid);
        for thread in &mut self.threads {
            (thread.at, thread.state, thread.executed) = (self.launch.kernel.start, State::Ready, 0);
            thread.calls.clear();
            thread.copies.clear();
            thread.groups.clear();
        }
        self.registers.fill(0);
        self.shared.reset();
        self.local.reset();
        self.clocks.reset();
        self.arrived.iter_mut().for_each(Vec::clear);
        self.actor = self.launch.global.actor(number);
    }

    /// Runs the block with a number, and returns how many instructions its threads executed.
    pub(super) fn run(&mut self, number: u64) -> Result<u64, Box<Fault>> {
        self.reset(number);
        loop {
            let mut moved = false;
            for warp in 0..self.warps() {
                moved |= self.run_warp(warp)?;
            }
            moved |= self.pass_barriers()?;
            if self.threads.iter().all(|thread| thread.state == State::Ended) {
                return Ok(self.threads.iter().map(|thread| thread.executed).sum());
            }
            if !moved {
                return Err(self.stuck());
            }
            if self.clocks.spent() {
                let message = "too many barriers to watch".to_owned();
                return Err(self.locate(0, Box::new(Trouble { kind: Kind::Launch, message })));
            }
        }
    }

    pub(super) fn warps(&self) -> usize {
        self.threads.len().div_ceil(LANES)
    }

    /// The threads of a warp.
    pub(super) fn lanes(&self, warp: usize) -> core::ops::Range<usize> {
        warp * LANES..self.threads.len().min((warp + 1) * LANES)
    }

    /// Runs a warp until all its threads wait for others or have ended; whether anything happened.
    fn run_warp(&mut self, warp: usize) -> Result<bool, Box<Fault>> {
        let mut moved = false;
        loop {
            let mut ran = false;
            for thread in self.lanes(warp) {
                if self.threads[thread].state == State::Ready {
                    ran = true;
                    self.run_thread(thread).map_err(|trouble| self.locate(thread, trouble))?;
                }
            }
            let together = self.run_collectives(warp)?;
            moved |= ran || together;
            if !together {
                return Ok(moved);
            }
        }
    }

    /// The value of a source for a thread.
    pub(super) fn value(&self, thread: usize, Src(source): Src) -> u64 {
        if source < CONSTANT {
            self.registers[thread * self.launch.kernel.registers as usize + source as usize]
        } else {
            self.launch.module.constants[(source - CONSTANT) as usize]
        }
    }

    /// Gives a register of a thread a value.
    pub(super) fn set(&mut self, thread: usize, register: u32, value: u64) {
        self.registers[thread * self.launch.kernel.registers as usize + register as usize] = value;
    }

    pub(super) fn op(&self, thread: usize) -> &'a Op {
        &self.launch.module.code[self.threads[thread].at as usize].op
    }

    pub(super) fn line(&self, thread: usize) -> u32 {
        let code = &self.launch.module.code;
        code[(self.threads[thread].at as usize).min(code.len() - 1)].line
    }

    /// Reads shared memory for a thread, outside its own run.
    pub(super) fn read_shared(&mut self, thread: usize, offset: u64, width: usize) -> Check<u64> {
        let party = Party { clocks: &self.clocks, thread, line: self.line(thread), strong: false };
        self.shared.load(offset, width, &party)
    }

    /// A trouble with its place.
    // Failures of threads arrive boxed.
    #[allow(clippy::boxed_local)]
    pub(super) fn locate(&self, thread: usize, trouble: Box<Trouble>) -> Box<Fault> {
        let line = self.line(thread);
        Box::new(Fault {
            kind: trouble.kind,
            kernel: self.launch.kernel.name.clone(),
            line,
            text: self.launch.module.line(line).to_owned(),
            block: self.index,
            thread: coordinates(thread as u64, self.launch.block),
            message: trouble.message,
        })
    }

    /// Nothing can go on: says who waits, and where those are that it waits for.
    fn stuck(&self) -> Box<Fault> {
        let waits = |state| self.threads.iter().position(|thread| thread.state == state);
        let (thread, what) = match waits(State::Warp) {
            Some(thread) => (thread, "lanes that never come"),
            None => (waits(State::Barrier).unwrap_or(0), "a barrier that others never reach"),
        };
        let line = self.line(thread);
        let elsewhere = self
            .threads
            .iter()
            .enumerate()
            .find(|(other, state)| state.state == State::Ended || self.line(*other) != line);
        let others = match elsewhere {
            Some((other, state)) if state.state == State::Ended => format!("thread number {other} has ended"),
            Some((other, _)) => format!("thread number {other} waits at line {}", self.line(other)),
            None => "all threads wait here".to_owned(),
        };
        let message = format!("deadlock: waits for {what}; {others}");
        self.locate(thread, Box::new(Trouble { kind: Kind::Launch, message }))
    }
}
