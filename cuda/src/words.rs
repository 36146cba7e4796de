//! Words of 32 bits on the device: what numbers and indices are held in.

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaView, CudaViewMut};

use crate::launch::{as_floats, as_floats_mut};

/// An array of its own, or a range of one that others have a range of too: then it is there to be read.
#[derive(Debug)]
pub(crate) struct Words {
    memory: Arc<CudaSlice<u32>>,
    from: usize,
    len: usize,
}

impl Words {
    /// The first `len` words of an array, which is this one's own.
    pub(crate) fn own(memory: CudaSlice<u32>, len: usize) -> Self {
        Self { memory: Arc::new(memory), from: 0, len }
    }

    /// A range of an array.
    pub(crate) fn part(memory: &Arc<CudaSlice<u32>>, range: Range<usize>) -> Self {
        Self { memory: memory.clone(), from: range.start, len: range.len() }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(crate) fn memory_len(&self) -> usize {
        self.memory.len()
    }

    /// The array, if nobody else has a range of it.
    pub(crate) fn into_memory(self) -> Option<CudaSlice<u32>> {
        Arc::into_inner(self.memory)
    }

    /// Where a range of these words lies in the array; panics if it does not.
    fn at(&self, range: Range<usize>) -> Range<usize> {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {} words", self.len);
        self.from + range.start..self.from + range.end
    }

    /// Some of the words; panics if there are fewer.
    pub(crate) fn read(&self, range: Range<usize>) -> CudaView<'_, u32> {
        self.memory.slice(self.at(range))
    }

    /// Some of the words as numbers; panics if there are fewer.
    pub(crate) fn read_floats(&self, range: Range<usize>) -> CudaView<'_, f32> {
        as_floats(&self.memory).slice(self.at(range))
    }

    /// The first `len` words, to be written; panics if there are fewer, or if the array is not this one's own.
    pub(crate) fn write(&mut self, len: usize) -> CudaViewMut<'_, u32> {
        self.own_memory(len).slice_mut(..len)
    }

    /// The first `len` words as numbers, to be written; panics as [`write`](Self::write) does.
    pub(crate) fn write_floats(&mut self, len: usize) -> CudaViewMut<'_, f32> {
        as_floats_mut(self.own_memory(len), len)
    }

    /// An array of its own begins with its first word.
    fn own_memory(&mut self, len: usize) -> &mut CudaSlice<u32> {
        let Range { start, .. } = self.at(0..len);
        let own = Arc::get_mut(&mut self.memory).filter(|_| start == 0);
        own.expect("what came with a batch is not written")
    }
}
