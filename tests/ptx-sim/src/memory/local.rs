//! The bytes each thread has to itself: `.local` variables and the parameters of calls.

use super::{SET, UNSET};
use crate::fault::{Check, bad_address, bad_kernel};

/// The own bytes of all threads of a block.
pub(crate) struct Local {
    size: usize,
    bytes: Vec<u8>,
    state: Vec<u8>,
}

impl Local {
    pub(crate) fn new(size: usize, threads: usize) -> Self {
        Self { size, bytes: vec![0; size * threads], state: vec![UNSET; size * threads] }
    }

    pub(crate) fn reset(&mut self) {
        self.state.fill(UNSET);
    }

    fn place(&self, thread: usize, offset: u64, width: usize, what: &str) -> Check<usize> {
        if offset.checked_add(width as u64).is_none_or(|end| end > self.size as u64) {
            return bad_address(format!("{what} at byte {offset} of local memory, which has {}", self.size));
        }
        if offset & (width as u64 - 1) != 0 {
            return bad_address(format!(
                "misaligned {what} of {width} bytes at byte {offset} of local memory"
            ));
        }
        Ok(thread * self.size + offset as usize)
    }

    pub(crate) fn load(&self, thread: usize, offset: u64, width: usize) -> Check<u64> {
        let place = self.place(thread, offset, width, "read")?;
        if self.state[place..place + width].contains(&UNSET) {
            return bad_kernel(format!("read of local byte {offset}, which was never written"));
        }
        let mut value = [0; 8];
        value[..width].copy_from_slice(&self.bytes[place..place + width]);
        Ok(u64::from_le_bytes(value))
    }

    pub(crate) fn store(&mut self, thread: usize, offset: u64, width: usize, value: u64) -> Check<()> {
        let place = self.place(thread, offset, width, "write")?;
        self.bytes[place..place + width].copy_from_slice(&value.to_le_bytes()[..width]);
        self.state[place..place + width].fill(SET);
        Ok(())
    }

    /// Passes an argument or a result: what is not set stays so.
    pub(crate) fn copy(&mut self, thread: usize, from: u32, to: u32, size: u32) {
        let (from, to) = (thread * self.size + from as usize, thread * self.size + to as usize);
        self.bytes.copy_within(from..from + size as usize, to);
        self.state.copy_within(from..from + size as usize, to);
    }
}
