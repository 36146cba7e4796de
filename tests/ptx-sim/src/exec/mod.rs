//! Execution: a grid of blocks, a block of warps, a warp of threads.

mod access;
mod barrier;
mod block;
mod collective;
mod grid;
mod matrix;
mod thread;

pub(crate) use self::grid::run;

use crate::memory::Global;
use crate::module::{Kernel, Module};

/// A launch: what all its blocks share.
pub(crate) struct Launch<'a> {
    pub(crate) module: &'a Module,
    pub(crate) kernel: &'a Kernel,
    pub(crate) global: &'a Global,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub(crate) dynamic: u32,
    /// The values of the parameters, at the places the kernel names.
    pub(crate) parameters: &'a [u8],
    /// Instructions a thread may execute before it is taken to loop forever.
    pub(crate) budget: u64,
    /// Cores that may run blocks.
    pub(crate) cores: usize,
}

impl Launch<'_> {
    fn threads(&self) -> usize {
        self.block.iter().product::<u32>() as usize
    }

    /// Shared memory of a block: the variables, then the dynamic part at a multiple of 16.
    fn shared(&self) -> usize {
        match self.dynamic {
            0 => self.kernel.shared,
            dynamic => self.kernel.shared.next_multiple_of(16) + dynamic as usize,
        }
    }
}

/// The three coordinates of a number.
fn coordinates(number: u64, size: [u32; 3]) -> [u32; 3] {
    let (x, y) = (u64::from(size[0]), u64::from(size[1]));
    [(number % x) as u32, (number / x % y) as u32, (number / x / y) as u32]
}
