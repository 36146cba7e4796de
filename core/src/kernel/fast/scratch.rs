//! Buffers that live longer than an operation: a training step in its steady state allocates nothing.

use std::sync::Mutex;

/// Bytes of a cache line, and of the widest vector. Buffers begin with a line: vectors that cross lines cost a second
/// access each.
const LINE: usize = 64;

/// Buffers that are not in use, by the power of two that they hold.
#[derive(Debug)]
struct Shelf<T> {
    sizes: Mutex<[Vec<Vec<T>>; usize::BITS as usize]>,
}

impl<T: Copy + Default> Shelf<T> {
    /// Numbers by which a buffer is longer, so that it can begin with a line.
    const SPARE: usize = LINE / size_of::<T>();

    fn with<R>(&self, len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
        let size = len.max(16).next_power_of_two();
        let place = size.trailing_zeros() as usize;
        let free = self.sizes.lock().expect("nobody panics with the lock")[place].pop();
        let mut buffer = free.unwrap_or_else(|| vec![T::default(); size + Self::SPARE]);
        let start = buffer.as_ptr().align_offset(LINE).min(Self::SPARE);
        let result = work(&mut buffer[start..][..len]);
        self.sizes.lock().expect("nobody panics with the lock")[place].push(buffer);
        result
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { sizes: Mutex::new([const { Vec::new() }; usize::BITS as usize]) }
    }
}

/// Scratch memory of a backend, shared by its threads.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    half: Shelf<u16>,
    single: Shelf<f32>,
    double: Shelf<f64>,
}

impl Scratch {
    /// Lends `len` numbers to `work`. They hold what their last user left there.
    pub(super) fn single<R>(&self, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        self.single.with(len, work)
    }

    /// As [`single`](Self::single), in bf16.
    pub(super) fn half<R>(&self, len: usize, work: impl FnOnce(&mut [u16]) -> R) -> R {
        self.half.with(len, work)
    }

    /// As [`single`](Self::single), in double precision.
    pub(super) fn double<R>(&self, len: usize, work: impl FnOnce(&mut [f64]) -> R) -> R {
        self.double.with(len, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back() {
        let scratch = Scratch::default();
        let first = scratch.single(100, |buffer| {
            buffer.fill(1.0);
            assert!(buffer.as_ptr().addr().is_multiple_of(LINE));
            (buffer.as_ptr() as usize, buffer.len())
        });
        let second = scratch.single(120, |buffer| (buffer.as_ptr() as usize, buffer.len()));
        assert_eq!(first.0, second.0, "both fit into 128 numbers");
        assert_eq!((first.1, second.1), (100, 120));
        let nested =
            scratch.single(100, |a| scratch.single(100, |b| (a.as_ptr() as usize, b.as_ptr() as usize)));
        assert_ne!(nested.0, nested.1);
    }
}
